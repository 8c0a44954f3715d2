package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// traceInvalidations returns options whose Trace notes the invalidations of the instance itself.
func traceInvalidations(got *[]string) cache.Options[string, string] {
	o := tagged(nil)
	o.Trace = &cache.Trace{Invalidate: func(ctx ctx, i cache.InvalidateInfo) {
		if ctx.Err() != nil {
			*got = append(*got, "the context has ended")
		}
		*got = append(*got, fmt.Sprint(i.Keys, i.Tags, either(i.All, " all", ""), either(i.Late, " late", ""), either(i.Err == nil, "", " failed")))
	}}
	return o
}

// Each invalidation of an instance is traced once, with its outcome, however it is made, with a
// remote tier and without one.
func TestInvalidationsAreTraced(t *testing.T) {
	for kind, with := range map[string]bool{"two tiers": true, "local only": false} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, got := cachetest.NewServer(), []string(nil)
				o := traceInvalidations(&got)
				if with {
					o.Remote = s.Remote()
				}
				c := newCache(t, o)
				ended, end := context.WithCancel(t.Context())
				end()
				for _, step := range []struct {
					do   func() error
					want []string
				}{
					{func() error { return c.Invalidate(ended, "a", "b:c") }, []string{"[a b:c] []"}},
					{func() error { return c.Invalidate(ended) }, nil},
					{func() error { return c.InvalidateTags(ended, "t", "u") }, []string{"[] [t u]"}},
					{func() error { return c.InvalidateAll(ended) }, []string{"[] [] all"}},
					{func() error { return c.Set(ended, "a", "v") }, []string{"[a] []"}},
					{func() error {
						return c.Mutate(t.Context(), []string{"a"}, func(ctx) error {
							got = append(got, "write")
							return nil
						})
					}, []string{"write", "[a] []"}},
					{func() error {
						return c.Redeliver(ended, cache.Undelivered{Cache: "test", Schema: 7, Keys: []string{"a"}, Tags: []string{"t"}, All: true})
					}, []string{"[a] [t] all late"}},
				} {
					got = nil
					if err := step.do(); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if d := cmp.Diff(step.want, got); d != "" {
						t.Error(d)
					}
				}
			})
		})
	}
}

// An invalidation that is queued is traced when it fails, and once more when it is made.
func TestAQueuedInvalidationIsTracedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		a := newInstanceWith(t, cachetest.NewServer(), traceInvalidations(&got))
		a.remote.Inject(down)
		_, _ = a.Invalidate(t.Context(), "k"), a.InvalidateTags(t.Context(), "t")
		time.Sleep(time.Minute) // attempts that fail are not traced
		a.remote.Inject(nil)
		a.remote.Recover(t.Context())
		if d := cmp.Diff([]string{"[k] [] failed", "[] [t] failed", "[k] [t] late"}, got); d != "" {
			t.Error(d)
		}
	})
}

// The function is called when nothing from before can be read here any more: a read that it makes
// does not find a value that was being read meanwhile.
func TestAnInvalidationIsTracedAfterItsEnd(t *testing.T) {
	for name, invalidate := range map[string]func(*cache.Cache[string, string]) error{
		"Invalidate":     func(c *cache.Cache[string, string]) error { return c.Invalidate(context.Background(), "k") },
		"InvalidateTags": func(c *cache.Cache[string, string]) error { return c.InvalidateTags(context.Background(), "any") },
		"Redeliver":      func(c *cache.Cache[string, string]) error { return c.Redeliver(context.Background(), letters["key"]) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := cachetest.NewServer(), (*cachetest.Remote)(nil)
				wantLoad(t, newInstanceWith(t, s, tagged(nil)), "k", constant("old"), "old")
				synctest.Wait()
				var c *cache.Cache[string, string]
				r = s.Remote()
				o := tagged(r)
				traced := 0
				o.Trace = &cache.Trace{Invalidate: func(ctx ctx, _ cache.InvalidateInfo) {
					traced++
					if v, err := c.Get(ctx, "k"); !errors.Is(err, cache.ErrMiss) {
						t.Errorf("Get: %q, %v", v, err)
					}
				}}
				c = newCache(t, o)
				const late = cachetest.DefaultBudget / 5
				r.Inject(delayed(map[string]time.Duration{"delete": 2 * late, "append": 2 * late, "record": 2 * late}))
				done := make(chan error, 1)
				go func() { done <- invalidate(c) }()
				time.Sleep(late)
				wantGet(t, c, "k", "old") // between the drop and the change of the remote tier
				if err := <-done; err != nil || traced != 1 {
					t.Errorf("%v, traced %d times", err, traced)
				}
			})
		})
	}
}
