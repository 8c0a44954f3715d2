package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/local"
)

// bothTiers runs a test on a cache with a local tier only, and on one with two.
func bothTiers(t *testing.T, test func(t *testing.T, o cache.Options[string, string])) {
	t.Run("local only", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, options(nil)) })
	})
	t.Run("two tiers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, options(cachetest.NewServer().Remote()))
		})
	})
}

func TestLoadsOnceThenHits(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		wantMiss(t, c, "k")
		wantLoad(t, c, "k", constant("v"), "v")
		wantLoad(t, c, "k", loading(t), "v")
		wantGet(t, c, "k", "v")
		time.Sleep(ttl)
		wantMiss(t, c, "k")
		wantLoad(t, c, "k", constant("w"), "w")
	})
}

func TestInvalidatedIsNoFallback(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		wantLoad(t, c, "k", constant("old"), "old")
		invalidate(t, c, "k", "absent")
		invalidate(t, c)
		wantMiss(t, c, "k")
		down := errors.New("source down")
		if v, err := c.GetOrLoad(t.Context(), "k", failing(down)); err != down || v != "" {
			t.Fatalf("GetOrLoad: %q, %v", v, err)
		}
		wantLoad(t, c, "k", constant("new"), "new")
	})
}

func TestZeroValuesAreHits(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		wantLoad(t, c, "k", constant(""), "")
		wantLoad(t, c, "k", loading(t), "")
		wantGet(t, c, "k", "")
	})
}

func TestNilPointersAreHits(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		loads := 0
		load := func(ctx, string) (*int, error) {
			loads++
			return nil, nil
		}
		want := 1
		if o.Remote == nil {
			want = 2 // the instances share nothing
		}
		for range 2 {
			c := newCache(t, cache.Options[string, *int]{Name: "pointers", TTL: ttl, Remote: o.Remote})
			for range 2 {
				if v, err := c.GetOrLoad(t.Context(), "k", load); v != nil || err != nil {
					t.Fatalf("GetOrLoad: %v, %v", v, err)
				}
				if v, err := c.Get(t.Context(), "k"); v != nil || err != nil {
					t.Fatalf("Get: %v, %v", v, err)
				}
			}
			if _, err := c.Get(t.Context(), "absent"); err != cache.ErrMiss {
				t.Fatalf("Get of an absent key: %v", err)
			}
			_ = c.Close()
		}
		if loads != want {
			t.Fatalf("%d loads, want %d", loads, want)
		}
	})
}

// To their callers both are a nil pointer.
func TestNilAndNotFoundAreToldApart(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		instance := func() *cache.Cache[string, *int] {
			return newCache(t, cache.Options[string, *int]{Name: "pointers", TTL: ttl, NotFoundTTL: ttl, Remote: o.Remote})
		}
		want := map[string]error{"nil": nil, "none": cache.ErrNotFound}
		load := func(_ ctx, key string) (*int, error) { return nil, want[key] }
		c := instance()
		for range 2 {
			for key, want := range want {
				if v, err := c.GetOrLoad(t.Context(), key, load); v != nil || err != want {
					t.Fatalf("GetOrLoad(%s): %v, %v; want %v", key, v, err, want)
				}
				if v, err := c.Get(t.Context(), key); v != nil || err != want {
					t.Fatalf("Get(%s): %v, %v; want %v", key, v, err, want)
				}
			}
		}
		if s := c.Stats(); s.Loads != 2 || s.LoadErrors != 0 || s.LocalHits != 3 || s.LocalNotFoundHits != 3 {
			t.Fatalf("stats: %+v", s)
		}
		if o.Remote == nil {
			return
		}
		_ = c.Close()
		other := instance()
		for key, want := range want {
			if v, err := other.Get(t.Context(), key); v != nil || err != want {
				t.Fatalf("another instance's Get(%s): %v, %v; want %v", key, v, err, want)
			}
		}
		if s := other.Stats(); s.RemoteHits != 1 || s.RemoteNotFoundHits != 1 {
			t.Fatalf("another instance's stats: %+v", s)
		}
	})
}

func TestLoaderIsGivenTheCallersKey(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.Key = func(k string) string { return "mapped" + k }
		wantLoad(t, newCache(t, o), "k", func(_ context.Context, key string) (string, error) { return key, nil }, "k")
	})
}

func TestNotFoundIsRememberedForItsTTL(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.NotFoundTTL = 10 * time.Second
		c := newCache(t, o)
		none := errors.Join(errors.New("no such row"), cache.ErrNotFound)
		if _, err := c.GetOrLoad(t.Context(), "k", failing(none)); err != none {
			t.Fatalf("GetOrLoad: %v; want the loader's error unchanged", err)
		}
		for range 3 { // reads do not renew it
			if _, err := c.GetOrLoad(t.Context(), "k", loading(t)); err != cache.ErrNotFound {
				t.Fatalf("GetOrLoad: %v", err)
			}
			if _, err := c.Get(t.Context(), "k"); err != cache.ErrNotFound {
				t.Fatalf("Get: %v", err)
			}
			time.Sleep(3 * time.Second)
		}
		time.Sleep(time.Second)
		wantLoad(t, c, "k", constant("v"), "v")

		_, _ = c.GetOrLoad(t.Context(), "other", failing(none))
		invalidate(t, c, "other")
		wantLoad(t, c, "other", constant("v"), "v")
	})
}

func TestNotFoundIsNotRememberedWithoutATTL(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		if _, err := c.GetOrLoad(t.Context(), "k", failing(cache.ErrNotFound)); err != cache.ErrNotFound {
			t.Fatalf("GetOrLoad: %v", err)
		}
		wantLoad(t, c, "k", constant("v"), "v")
	})
}

func TestErrorsAreNotKept(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		down := errors.New("source down")
		if _, err := c.GetOrLoad(t.Context(), "k", failing(down)); err != down {
			t.Fatalf("GetOrLoad: %v", err)
		}
		start := time.Now()
		wantLoad(t, c, "k", constant("v"), "v")
		if took := time.Since(start); took > 0 {
			t.Fatalf("the next load waited %v for the lease of the failed one", took)
		}
		if s := c.Stats(); s.Loads != 2 || s.LoadErrors != 1 {
			t.Fatalf("stats: %+v", s)
		}
	})
}

func TestSetReplacesAndDooms(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		var src source
		load, read, finish := src.gated()
		go func() { _, _ = c.GetOrLoad(t.Context(), "k", load) }()
		<-read
		if err := c.Set(t.Context(), "k", "set"); err != nil {
			t.Fatal(err)
		}
		close(finish)
		synctest.Wait()
		wantLoad(t, c, "k", loading(t), "set")
		if err := c.Set(t.Context(), "k", "again"); err != nil {
			t.Fatal(err)
		}
		wantGet(t, c, "k", "again")
	})
}

func TestTTLOfDecidesPerValue(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.MaxAge = 2 * ttl
		o.TTLOf = func(key, _ string) time.Duration {
			return map[string]time.Duration{"short": time.Second, "none": 0, "past": -time.Hour, "long": time.Hour}[key]
		}
		c := newCache(t, o)
		for _, key := range []string{"short", "none", "past", "long"} {
			wantLoad(t, c, key, constant("v"), "v")
		}
		wantMiss(t, c, "none")
		wantMiss(t, c, "past")
		wantGet(t, c, "short", "v")
		time.Sleep(time.Second)
		wantMiss(t, c, "short")
		time.Sleep(2*ttl - 2*time.Second)
		wantGet(t, c, "long", "v")
		time.Sleep(time.Second)
		wantMiss(t, c, "long") // MaxAge bounds it

		if err := c.Set(t.Context(), "none", "v"); err != nil {
			t.Fatal(err)
		}
		wantMiss(t, c, "none")
	})
}

func TestLocalLimitsHold(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		var evicted []string
		o.Local = local.Options{MaxEntries: 3, MaxCost: 10}
		o.Cost = func(_, v string) int64 { return int64(len(v)) }
		o.Trace = &cache.Trace{Evict: func(_ context.Context, i cache.EvictInfo) { evicted = append(evicted, i.Key) }}
		c := newCache(t, o)
		o.Trace.Fill = func(ctx context.Context, i cache.FillInfo) { _ = c.Stats() } // would block under a lock
		for _, key := range []string{"a", "b", "c"} {
			wantLoad(t, c, key, constant("1"), "1")
		}
		wantLoad(t, c, "d", constant("1"), "1")
		wantLoad(t, c, "large", constant("larger than 10"), "larger than 10")
		if s := c.Stats(); s.LocalEntries != 3 || s.LocalCost != 3 || s.LocalEvictions != 1 {
			t.Fatalf("stats: %+v", s)
		}
		wantLoad(t, c, "e", constant("12345678"), "12345678")
		if s := c.Stats(); s.LocalEntries != 3 || s.LocalCost != 10 {
			t.Fatalf("stats: %+v", s)
		}
		if len(evicted) != 2 || evicted[0] != "a" || evicted[1] != "b" {
			t.Fatalf("evicted: %v", evicted)
		}
	})
}
