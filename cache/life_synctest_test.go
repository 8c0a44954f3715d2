package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

func TestCloseEndsTheCache(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		wantLoad(t, c, "k", constant("v"), "v")
		for range 2 {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, get := c.Get(t.Context(), "k")
		_, load := c.GetOrLoad(t.Context(), "k", loading(t))
		for _, err := range []error{get, load, c.Set(t.Context(), "k", "v"), c.Invalidate(t.Context(), "k"), c.Invalidate(t.Context())} {
			if err != cache.ErrClosed {
				t.Errorf("after Close: %v", err)
			}
		}
	})
}

// TestCloseWaits also shows that nothing is left behind: the bubble ends only
// when every goroutine in it has.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		var src source
		finish := loadLate(t, a, &src)
		closed := make(chan struct{})
		for range 2 {
			go func() {
				_ = a.Close()
				closed <- struct{}{}
			}()
		}
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close did not wait for the load")
		default:
		}
		if _, err := a.Get(t.Context(), "other"); err != cache.ErrClosed {
			t.Fatalf("a call during Close: %v", err)
		}
		if v := finish(); v != "v0" {
			t.Fatalf("the call under way got %q", v)
		}
		<-closed
		<-closed
		if n := a.Stats().LocalEntries; n != 0 {
			t.Fatalf("%d entries are left in the local tier", n)
		}
	})
}

func TestCloseWaitsForTouches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		wantLoad(t, a, "k", constant("v"), "v")
		time.Sleep(ttl / 4)
		a.remote.Inject(slowBy(20 * time.Millisecond))
		wantGet(t, a, "k", "v")
		start := time.Now()
		_ = a.Close()
		if took := time.Since(start); took != 20*time.Millisecond {
			t.Fatalf("Close took %v", took)
		}
	})
}

func TestCloseBesideRunningCalls(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				for {
					time.Sleep(time.Duration(i+1) * time.Microsecond)
					_, err := c.GetOrLoad(t.Context(), string(rune('a'+i%7)), constant("v"))
					if err == cache.ErrClosed {
						return
					}
					if err != nil {
						t.Error(err)
					}
					if i%5 == 0 {
						_ = c.Invalidate(t.Context(), string(rune('a'+i%7)))
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		_ = c.Close()
		wg.Wait()
	})
}

// TestOutcomesAreToldApart walks through every outcome and holds the statistics
// and the trace against what happened.
func TestOutcomesAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, other := pair(t)
		remote := s.Remote()
		var got []string
		note := func(what string) { got = append(got, what) }
		o := options(remote)
		o.NotFoundTTL = ttl
		o.Trace = &cache.Trace{
			Hit: func(_ ctx, i cache.HitInfo) {
				what := "hit " + i.Tier.String()
				if i.NotFound {
					what += " not found"
				}
				note(what)
			},
			Miss: func(_ ctx, i cache.MissInfo) { note("miss") },
			Load: func(_ ctx, i cache.LoadInfo) {
				if i.Err != nil {
					note("load failed")
				} else {
					note("load")
				}
			},
			Fill: func(_ ctx, i cache.FillInfo) {
				note([]string{"filled", "filled locally", "refused", "doomed", "failed", "skipped"}[i.Outcome])
			},
			Wait:        func(_ ctx, i cache.WaitInfo) { note("wait") },
			RemoteError: func(_ ctx, i cache.RemoteErrorInfo) { note("error of " + i.Op) },
			Corrupt:     func(_ ctx, i cache.CorruptInfo) { note("corrupt") },
		}
		c := newCache(t, o)
		step := func(name string, act func(), want cache.Stats, trace ...string) {
			t.Helper()
			before := c.Stats()
			got = nil
			act()
			synctest.Wait()
			if d := cmp.Diff(want, minus(c.Stats(), before)); d != "" {
				t.Errorf("%s: statistics (-want +got):\n%s", name, d)
			}
			if d := cmp.Diff(trace, got); d != "" {
				t.Errorf("%s: trace (-want +got):\n%s", name, d)
			}
		}

		step("miss of Get", func() { wantMiss(t, c, "k") }, cache.Stats{Misses: 1}, "miss")
		step("load", func() { wantLoad(t, c, "k", constant("v"), "v") },
			cache.Stats{Misses: 1, Loads: 1, Fills: 1}, "load", "filled", "miss")
		step("local hit", func() { wantGet(t, c, "k", "v") }, cache.Stats{LocalHits: 1}, "hit local")
		step("failed load", func() { _, _ = c.GetOrLoad(t.Context(), "bad", failing(errDown)) },
			cache.Stats{Misses: 1, Loads: 1, LoadErrors: 1}, "load failed", "miss")
		step("not found", func() { _, _ = c.GetOrLoad(t.Context(), "none", failing(cache.ErrNotFound)) },
			cache.Stats{Misses: 1, Loads: 1, Fills: 1}, "load failed", "filled", "miss")
		step("local not found", func() { _, _ = c.Get(t.Context(), "none") },
			cache.Stats{LocalNotFoundHits: 1}, "hit local not found")

		wantLoad(t, other, "remote", constant("v"), "v")
		step("remote hit", func() { wantGet(t, c, "remote", "v") }, cache.Stats{RemoteHits: 1}, "hit remote")

		invalidate(t, c, "k")
		finish := loadLate(t, other, &source{})
		step("wait", func() {
			time.AfterFunc(time.Second, func() { finish() })
			wantLoad(t, c, "k", loading(t), "v0")
		}, cache.Stats{LeaseWaits: 1, RemoteHits: 1}, "wait", "hit remote")
		invalidate(t, c, "k")

		step("refused fill", func() {
			finish := loadLate(t, c, &source{})
			_ = other.Invalidate(t.Context(), "k")
			finish()
		}, cache.Stats{Misses: 1, Loads: 1, RefusedFills: 1}, "load", "refused", "miss")

		s.Corrupt(remoteKey("corrupt"))
		step("corrupt record", func() { wantLoad(t, c, "corrupt", constant("v"), "v") },
			cache.Stats{Misses: 1, Loads: 1, Fills: 1, CorruptRecords: 1}, "corrupt", "load", "filled", "miss")

		for _, e := range []struct {
			fault cachetest.Fault
			want  cache.Stats
		}{
			{cachetest.Fault{Err: errDown}, cache.Stats{RemoteErrors: 1, Misses: 1}},
			{cachetest.Fault{Delay: time.Hour}, cache.Stats{RemoteTimeouts: 1, Misses: 1}},
			{cachetest.Fault{Err: cache.ErrUnavailable}, cache.Stats{RemoteUnavailable: 1, Misses: 1}},
		} {
			remote.Inject(on("get", e.fault))
			step("remote error", func() { wantMiss(t, c, "absent") }, e.want, "error of get", "miss")
		}
		step("loaded without the remote tier", func() { wantLoad(t, c, "local", constant("v"), "v") },
			cache.Stats{RemoteUnavailable: 1, Misses: 1, Loads: 1, Fills: 1}, "error of get", "load", "filled locally", "miss")
	})
}

// minus is what was counted between two readings.
func minus(a, b cache.Stats) cache.Stats {
	return cache.Stats{
		LocalHits: a.LocalHits - b.LocalHits, LocalNotFoundHits: a.LocalNotFoundHits - b.LocalNotFoundHits,
		RemoteHits: a.RemoteHits - b.RemoteHits, RemoteNotFoundHits: a.RemoteNotFoundHits - b.RemoteNotFoundHits,
		Misses: a.Misses - b.Misses, Loads: a.Loads - b.Loads, LoadErrors: a.LoadErrors - b.LoadErrors,
		LeaseWaits: a.LeaseWaits - b.LeaseWaits, Fills: a.Fills - b.Fills, RefusedFills: a.RefusedFills - b.RefusedFills,
		DoomedFills: a.DoomedFills - b.DoomedFills, EncodeErrors: a.EncodeErrors - b.EncodeErrors,
		Touches: a.Touches - b.Touches, CorruptRecords: a.CorruptRecords - b.CorruptRecords,
		RemoteTimeouts: a.RemoteTimeouts - b.RemoteTimeouts, RemoteErrors: a.RemoteErrors - b.RemoteErrors,
		RemoteUnavailable: a.RemoteUnavailable - b.RemoteUnavailable,
	}
}

func TestCallersEndIsNoRemoteError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		a.remote.Inject(slowBy(20 * time.Millisecond))
		if _, err := a.GetOrLoad(ctx, "k", loading(t)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("GetOrLoad: %v", err)
		}
		synctest.Wait()
		if s := a.Stats(); s.RemoteTimeouts+s.RemoteErrors != 0 {
			t.Fatalf("stats: %+v", s)
		}
	})
}
