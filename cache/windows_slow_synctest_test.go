package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// After LoadSoftTimeout the callers get the stale value, and so do later ones, while the load
// goes on. Its value is stored.
func TestLoadSoftTimeout(t *testing.T) {
	const soft, slow = 100 * time.Millisecond, 5 * time.Second
	eachWindowed(t, func(o *cache.Options[string, string]) { o.StaleIfError, o.LoadSoftTimeout = ttl, soft }, func(t *testing.T, c *instance, more func() *instance) {
		wantLoad(t, c, "k", constant("old"), "old")
		time.Sleep(ttl)
		load, loads := counted(after(slow, constant("new")))
		start := time.Now()
		wantAnswer(t, c, "k", load, "old")
		if took := time.Since(start); took != soft {
			t.Fatalf("the first call took %v", took)
		}
		for time.Since(start) < slow-2*soft {
			asked := time.Now()
			wantAnswer(t, c, "k", load, "old")
			if took := time.Since(asked); took > soft {
				t.Fatalf("a call took %v", took)
			}
			time.Sleep(slow / 10)
		}
		synctest.Wait()
		wantAnswer(t, c, "k", load, "new")
		if n := loads.Load(); n != 1 {
			t.Fatalf("%d loads", n)
		}
		// A load that is in time is waited for.
		time.Sleep(ttl)
		wantAnswer(t, c, "k", after(soft-1, constant("newer")), "newer")
	})
}

// A load that goes on after LoadSoftTimeout is the only one of its key, whatever window the
// value is in, and its value is stored.
func TestALoadThatTakesLongIsNotRepeated(t *testing.T) {
	const slow = 5 * time.Second
	eachWindowed(t, func(o *cache.Options[string, string]) {
		o.StaleWhileRevalidate, o.StaleIfError, o.LoadSoftTimeout = ttl, time.Second, 100*time.Millisecond
	}, func(t *testing.T, c *instance, more func() *instance) {
		wantLoad(t, c, "k", constant("old"), "old")
		for _, age := range []time.Duration{ttl, ttl + 2*time.Second, 2*ttl - time.Second} {
			time.Sleep(age)
			if c.remote != nil { // a lease is not to be had
				c.remote.Inject(on("lease", cachetest.Fault{Err: errDown}))
			}
			load, loads := counted(after(slow, constant("old")))
			for start := time.Now(); time.Since(start) < slow-time.Second; time.Sleep(50 * time.Millisecond) {
				wantAnswer(t, c, "k", load, "old")
			}
			if n := loads.Load(); n != 1 {
				t.Fatalf("%d loads", n)
			}
			if c.remote != nil {
				c.remote.Inject(nil)
			}
			time.Sleep(slow)
			wantLoad(t, c, "k", constant("old"), "old")
		}
	})
}

// The window ends during a load: its lease does not.
func TestWindowThatEndsDuringALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		o := options(nil)
		o.StaleIfError = 10 * time.Second
		a, b := newInstanceWith(t, s, o), newInstanceWith(t, s, o)
		wantLoad(t, a, "k", constant("old"), "old")
		time.Sleep(ttl + 9*time.Second)
		load, loads := counted(after(3*time.Second, constant("new")))
		first := call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", load) })
		time.Sleep(2 * time.Second)
		second := call(t, func() (string, error) { return b.GetOrLoad(t.Context(), "k", load) })
		if v, w := <-first, <-second; v != "new" || w != "new" || loads.Load() != 1 {
			t.Errorf("%q and %q after %d loads", v, w, loads.Load())
		}
		synctest.Wait()
		wantGet(t, a, "k", "new")
		wantGet(t, b, "k", "new")
	})
}

// LoadSoftTimeout counts from the call, also while the load waits for its place.
func TestLoadSoftTimeoutInTheQueue(t *testing.T) {
	const soft = 100 * time.Millisecond
	eachWindowed(t, func(o *cache.Options[string, string]) {
		o.MaxLoads, o.StaleIfError, o.LoadSoftTimeout = 1, ttl, soft
	}, func(t *testing.T, c *instance, more func() *instance) {
		wantLoad(t, c, "k", constant("old"), "old")
		time.Sleep(ttl)
		other := call(t, func() (string, error) {
			return c.GetOrLoad(t.Context(), "other", after(5*time.Second, constant("v")))
		})
		synctest.Wait()
		start := time.Now()
		wantAnswer(t, c, "k", constant("new"), "old")
		if took := time.Since(start); took != soft {
			t.Errorf("the call took %v", took)
		}
		<-other
		synctest.Wait()
		wantAnswer(t, c, "k", loading(t), "new")
	})
}

// A Cost may use the cache: it is called under no lock, also for a value that stands in for a
// load.
func TestCostOfAStaleValueMayUseTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *cache.Cache[string, string]
		uses := false
		o := options(nil)
		o.StaleIfError = ttl
		o.Cost = func(key, _ string) int64 {
			if uses {
				invalidate(t, c, key)
			}
			return 1
		}
		c = newCache(t, o)
		wantLoad(t, c, "k", constant("old"), "old")
		time.Sleep(ttl)
		uses = true
		wantError(t, c, "k", failing(errSource), errSource) // Cost has invalidated the key
	})
}
