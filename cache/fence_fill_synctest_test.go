package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/local"
)

// The lease would keep the old value out of the remote tier, had the deletion got
// through. That it did not is known to this instance alone.
func TestDoomedLoadIsNotFilledAlthoughTheDeleteFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		var src source
		finish := loadLate(t, a, &src)
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		src.write()
		if err := a.Invalidate(t.Context(), "k"); err == nil {
			t.Fatal("Invalidate: no error")
		}
		if v := finish(); v != "v0" {
			t.Fatalf("the waiter got %q", v)
		}
		wantLoad(t, b, "k", src.load, "v1")
		if s := a.Stats(); s.DoomedFills != 1 || s.Fills != 0 {
			t.Fatalf("stats: %+v", s)
		}
	})
}

// A load that nothing fences is trusted since its start: what another instance
// invalidates meanwhile it may have read before.
func TestUnfencedLoadIsTrustedSinceItsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		o := options(a.remote)
		o.Local = local.Options{TTL: time.Second}
		c := a.replace(t, o)
		a.remote.Inject(on("lease", cachetest.Fault{Err: errDown}))
		for _, took := range []time.Duration{100 * time.Millisecond, 5 * time.Second} {
			var src source
			finish := loadLate(t, c, &src)
			invalidate(t, b, "k")
			since := time.Now()
			time.Sleep(took)
			finish()
			for {
				if _, err := c.Get(t.Context(), "k"); err != nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if served := time.Since(since); served > max(time.Second, took) {
				t.Errorf("a load of %v was served for %v after the Invalidate, want a second", took, served)
			}
		}
	})
}

// A caller that has missed locally may find the flight for its key ended, and the
// value published. It must not start another load for it.
func TestFlightThatHasJustEndedIsNotRepeated(t *testing.T) {
	c := newCache(t, options(nil))
	for i := range 2000 {
		var loads atomic.Int32
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for range 16 {
			wg.Go(func() {
				<-begin
				_, err := c.GetOrLoad(t.Context(), fmt.Sprint(i), func(ctx, string) (string, error) {
					loads.Add(1)
					return "v", nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		close(begin)
		wg.Wait()
		if n := loads.Load(); n != 1 {
			t.Fatalf("%d loads of key %d", n, i)
		}
	}
	if s := c.Stats(); s.LocalHits+s.Misses != 2000*16 {
		t.Fatalf("stats: %+v", s)
	}
}

// The Cost function is where a caller can be caught in the middle of a Set.
func TestLoadThatStartsDuringSetIsNotStoredOverIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *cache.Cache[string, string]
		var finish func() string
		o := options(nil)
		o.Cost = func(_, v string) int64 {
			if v == "set" && finish == nil {
				finish = loadLate(t, c, &source{})
			}
			return 1
		}
		c = newCache(t, o)
		if err := c.Set(t.Context(), "k", "set"); err != nil {
			t.Fatal(err)
		}
		wantGet(t, c, "k", "set")
		finish()
		wantGet(t, c, "k", "set")
	})
}

// A remote tier that answers the read late and hangs at the release costs one
// budget all the same, and who comes later does not get the old error.
func TestFailedLoadCostsTheBudgetOnce(t *testing.T) {
	for name, load := range map[string]func(ctx, string) (string, error){
		"error": failing(errors.New("source down")), "not to be stored": constant("v"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, _ := pair(t)
				o := options(a.remote)
				o.TTLOf = func(string, string) time.Duration { return 0 }
				c := a.replace(t, o)
				a.remote.Inject(delayed(map[string]time.Duration{"get": 45 * time.Millisecond, "release": time.Hour}))
				start := time.Now()
				_, _ = c.GetOrLoad(t.Context(), "k", load)
				if took := time.Since(start); took > cachetest.DefaultBudget {
					t.Errorf("the call took %v", took)
				}
				a.remote.Inject(on("get", cachetest.Fault{Err: errDown}))
				wantLoad(t, c, "k", constant("later"), "later")
			})
		})
	}
}

func TestPanicCostsTheBudgetOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		a.remote.Inject(delayed(map[string]time.Duration{"get": 45 * time.Millisecond, "release": time.Hour}))
		start := time.Now()
		defer func() {
			if p, took := recover(), time.Since(start); p == nil || took > cachetest.DefaultBudget {
				t.Errorf("recovered %v after %v", p, took)
			}
		}()
		_, _ = a.GetOrLoad(t.Context(), "k", func(ctx, string) (string, error) { panic("boom") })
	})
}

func TestFillThatFindsNoRoomIsKeptLocally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		o := options(a.remote)
		var outcome cache.FillOutcome
		o.Trace = &cache.Trace{Fill: func(_ ctx, i cache.FillInfo) { outcome = i.Outcome }}
		c := a.replace(t, o)
		a.remote.Inject(on("fill", cachetest.Fault{Err: cachetest.ErrFull}))
		wantLoad(t, c, "k", constant("v"), "v")
		wantLoad(t, c, "k", loading(t), "v")
		if outcome != cache.FillLocal || s.Len() != 0 {
			t.Fatalf("outcome %v, %d records", outcome, s.Len())
		}
		wantLoad(t, b, "k", constant("w"), "w") // and finds no lease in its way
	})
}

// A load that everybody has left is found by no Invalidate. It must not fill: the
// deletion may have failed that would keep it out.
func TestAbandonedLoadIsNotFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		var outcome cache.FillOutcome
		o := options(a.remote)
		o.Trace = &cache.Trace{Fill: func(_ ctx, i cache.FillInfo) { outcome = i.Outcome }}
		c := a.replace(t, o)
		var src source
		load, read, finish := src.gated()
		ctx, leave := context.WithCancel(t.Context())
		go func() { _, _ = c.GetOrLoad(ctx, "k", load) }()
		<-read
		leave()
		synctest.Wait()
		src.write()
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		if err := c.Invalidate(t.Context(), "k"); err == nil {
			t.Fatal("Invalidate: no error")
		}
		a.remote.Inject(nil)
		close(finish)
		synctest.Wait()
		wantLoad(t, b, "k", src.load, "v1")
		if s := c.Stats(); outcome != cache.FillAbandoned || s.AbandonedFills != 1 || s.DoomedFills != 0 {
			t.Fatalf("outcome %v, stats %+v", outcome, s)
		}
	})
}
