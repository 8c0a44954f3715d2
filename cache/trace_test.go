package cache_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/local"
)

// The hook uses the cache, also for the key that makes its way into the local tier.
// Not in a bubble: there, who waits for a mutex waits for ever.
func TestEvictionIsTracedOutsideLocks(t *testing.T) {
	type act func(*testing.T, *cache.Cache[string, string])
	load := func(t *testing.T, c *cache.Cache[string, string]) { loadOutside(t, c, "new", constant("v"), "v") }
	set := func(t *testing.T, c *cache.Cache[string, string]) {
		if err := c.Set(t.Context(), "new", "v"); err != nil {
			t.Error(err)
		}
	}
	for name, by := range map[string]struct {
		tiers, filled bool // whether there is a remote tier, and whether it has the key
		do            act
	}{
		"load, local only": {false, false, load},
		"Set, local only":  {false, false, set},
		"load, two tiers":  {true, false, load},
		"hit of Get":       {true, true, func(t *testing.T, c *cache.Cache[string, string]) { wantGet(t, c, "new", "v") }},
		"hit of GetOrLoad": {true, true, func(t *testing.T, c *cache.Cache[string, string]) { loadOutside(t, c, "new", loading(t), "v") }},
	} {
		t.Run(name, func(t *testing.T) {
			// A server of its own: the entries of another subtest would keep values from the local tier.
			s := cachetest.NewServer()
			if by.filled {
				loadOutside(t, newInstance(t, s), "new", constant("v"), "v")
			}
			o := options(nil)
			if by.tiers {
				o.Remote = s.Remote()
			}
			o.Local = local.Options{MaxEntries: 1}
			var c *cache.Cache[string, string]
			var evictions atomic.Int32
			o.Trace = &cache.Trace{Evict: func(ctx context.Context, i cache.EvictInfo) {
				if evictions.Add(1) > 1 {
					return // what useAll evicts
				}
				if i.Key != "old" {
					t.Errorf("%q was evicted", i.Key)
				}
				useAll(ctx, t, c)
			}}
			c = newCache(t, o)
			loadOutside(t, c, "old", constant("old"), "old")
			by.do(t, c)
			if evictions.Load() == 0 {
				t.Error("no eviction was traced")
			}
		})
	}
}

// useAll calls what a cache has, and says so if that does not return.
func useAll(ctx context.Context, t *testing.T, c *cache.Cache[string, string]) {
	done := make(chan error, 1)
	go func() {
		_, hit := c.GetOrLoad(ctx, "new", constant("not to be loaded"))
		invalidated := c.Invalidate(ctx, "new", "old")
		_, missed := c.Get(ctx, "new")
		if missed == cache.ErrMiss {
			missed = nil
		}
		_, loaded := c.GetOrLoad(ctx, "old", constant("old"))
		done <- errors.Join(hit, invalidated, missed, loaded, c.Set(ctx, "new", "v"))
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute): // a call that waits for its own lock waits for ever
		t.Error("the cache cannot be used in the hook")
	}
}
