package cache_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

var errSource = errors.New("the source is down")

// windowed is a cache with windows: in one process, in a fleet, or without a local tier.
type windowed struct {
	remote     bool
	remoteOnly bool
}

var inWindows = map[string]windowed{"local": {}, "two tiers": {remote: true}, "remote only": {remote: true, remoteOnly: true}}

// eachWindowed runs a test with caches of each kind, whose values have their words as tags.
func eachWindowed(t *testing.T, change func(*cache.Options[string, string]), test func(t *testing.T, c *instance, more func() *instance)) {
	t.Helper()
	for name, w := range inWindows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				more := func() *instance {
					o := tagged(nil)
					o.RemoteOnly = w.remoteOnly
					change(&o)
					if !w.remote {
						return &instance{newCache(t, o), nil}
					}
					return newInstanceWith(t, s, o)
				}
				test(t, more(), more)
			})
		})
	}
}

// counted returns a loader that returns what load does, and counts.
func counted(load func(ctx, string) (string, error)) (func(ctx, string) (string, error), *atomic.Int64) {
	var n atomic.Int64
	return func(ctx ctx, key string) (string, error) {
		n.Add(1)
		return load(ctx, key)
	}, &n
}

// wantAtOnce wants an answer that nothing has to be waited for.
func wantAtOnce(t *testing.T, c getter, key string, load func(ctx, string) (string, error), want string) {
	t.Helper()
	start := time.Now()
	wantAnswer(t, c, key, load, want)
	if took := time.Since(start); took > 0 {
		t.Fatalf("GetOrLoad took %v", took)
	}
}

func wantError(t *testing.T, c getter, key string, load func(ctx, string) (string, error), want error) {
	t.Helper()
	if v, err := c.GetOrLoad(t.Context(), key, load); err != want {
		t.Fatalf("GetOrLoad: %q, %v; want %v", v, err, want)
	}
}

// after returns a loader of load that takes d.
func after(d time.Duration, load func(ctx, string) (string, error)) func(ctx, string) (string, error) {
	return func(ctx ctx, key string) (string, error) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		return load(ctx, key)
	}
}

func TestStaleWhileRevalidate(t *testing.T) {
	const window, slow = ttl / 2, time.Second
	eachWindowed(t, func(o *cache.Options[string, string]) { o.StaleWhileRevalidate = window }, func(t *testing.T, c *instance, more func() *instance) {
		fleet := []*instance{c}
		if c.remote != nil {
			fleet = append(fleet, more(), more())
		}
		wantLoad(t, c, "k", constant("old"), "old")
		time.Sleep(ttl)
		load, loads := counted(after(slow, constant("new")))
		for range 3 {
			for _, c := range fleet {
				wantAtOnce(t, c, "k", load, "old")
				wantMiss(t, c, "k")
				synctest.Wait()
			}
		}
		if n := loads.Load(); n != 1 {
			t.Fatalf("%d loads in the fleet", n)
		}
		if st := c.Stats(); st.StaleHits != 3 || st.LocalHits+st.RemoteHits != 0 {
			t.Fatalf("%+v", st)
		}
		time.Sleep(slow + cache.DefaultStalePause) // another instance may have seen that one loads
		synctest.Wait()
		for _, c := range fleet {
			wantAnswer(t, c, "k", load, "new")
			synctest.Wait()
			wantAtOnce(t, c, "k", loading(t), "new")
		}
		if n := loads.Load(); n != 1 {
			t.Fatalf("%d loads in the fleet", n)
		}
		time.Sleep(ttl + window)
		load, loads = counted(after(slow, constant("newest")))
		wantLoad(t, c, "k", load, "newest") // beyond the window
		if n := loads.Load(); n != 1 {
			t.Fatalf("%d loads beyond the window", n)
		}
	})
}

// A load that fails leaves the stale value, and is tried again after the pause. No read in
// the window renews the value.
func TestStaleIfError(t *testing.T) {
	const window = 10 * time.Second
	eachWindowed(t, func(o *cache.Options[string, string]) { o.StaleIfError = window }, func(t *testing.T, c *instance, more func() *instance) {
		wantLoad(t, c, "k", constant("old"), "old")
		time.Sleep(ttl)
		ended := time.Now()
		load, loads := counted(failing(errSource))
		for time.Since(ended) < window {
			wantAtOnce(t, c, "k", load, "old")
			wantMiss(t, c, "k")
			time.Sleep(cache.DefaultStalePause / 4)
		}
		if n := loads.Load(); c.remote == nil && n != 10 || n < 8 {
			t.Errorf("%d loads in a window of %v", n, window)
		}
		wantError(t, c, "k", load, errSource)
		if c.remote != nil {
			wantError(t, more(), "k", load, errSource)
		}
		if st := c.Stats(); st.StaleHits != 40 || st.LoadErrors != uint64(loads.Load()) && c.remote == nil || st.Misses == 0 {
			t.Errorf("%+v", st)
		}
		wantLoad(t, c, "k", constant("new"), "new")
		wantGet(t, c, "k", "new")
	})
}

// The stale record of Redis serves an instance whose local tier is empty. While one instance
// loads, the others return it.
func TestStaleIfErrorInAFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		o := options(nil)
		o.StaleIfError = ttl
		a, b := newInstanceWith(t, s, o), newInstanceWith(t, s, o)
		wantLoad(t, a, "k", constant("old"), "old")
		time.Sleep(ttl)
		late := newInstanceWith(t, s, o)
		wantAtOnce(t, late, "k", failing(errSource), "old")

		load, loads := counted(after(2*time.Second, constant("new")))
		got := call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", load) })
		synctest.Wait()
		wantAtOnce(t, b, "k", load, "old")
		if v := <-got; v != "new" || loads.Load() != 1 {
			t.Errorf("%q after %d loads", v, loads.Load())
		}
		synctest.Wait()
		wantAtOnce(t, b, "k", load, "new")
		wantAtOnce(t, late, "k", load, "new")
	})
}

// With Redis away the local copies have the same windows, as far as they are trusted.
func TestStaleIfErrorWithoutRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		o := options(nil)
		o.FixedTTL, o.Local.TTL, o.StaleIfError = true, 3*ttl/2, 10*ttl
		a.replace(t, o)
		wantLoad(t, a, "k", constant("old"), "old")
		time.Sleep(ttl)
		a.remote.Inject(func(string) cachetest.Fault { return cachetest.Fault{Err: errDown} })
		wantAtOnce(t, a, "k", failing(errSource), "old")
		time.Sleep(ttl / 2) // as far as Local.TTL
		wantError(t, a, "k", failing(errSource), errSource)
	})
}

// A read in the window renews neither the value nor the window: with MaxAge, too.
func TestWindowsOfAValueThatIsRead(t *testing.T) {
	for name, change := range map[string]func(*cache.Options[string, string]){
		"FixedTTL": func(o *cache.Options[string, string]) { o.FixedTTL = true },
		"MaxAge":   func(o *cache.Options[string, string]) { o.MaxAge = ttl },
	} {
		t.Run(name, func(t *testing.T) {
			eachWindowed(t, func(o *cache.Options[string, string]) { change(o); o.StaleIfError = ttl }, func(t *testing.T, c *instance, more func() *instance) {
				start := time.Now()
				wantLoad(t, c, "k", constant("old"), "old")
				for time.Since(start) < ttl {
					wantAtOnce(t, c, "k", loading(t), "old")
					time.Sleep(ttl / 16)
				}
				for time.Since(start) < 2*ttl {
					wantAtOnce(t, c, "k", failing(errSource), "old")
					time.Sleep(ttl / 16)
				}
				wantError(t, c, "k", failing(errSource), errSource)
			})
		})
	}
}

// A Set during a load in the background stays.
func TestSetDuringARevalidation(t *testing.T) {
	eachWindowed(t, func(o *cache.Options[string, string]) { o.StaleWhileRevalidate = ttl }, func(t *testing.T, c *instance, more func() *instance) {
		wantLoad(t, c, "k", constant("old"), "old")
		time.Sleep(ttl)
		wantAtOnce(t, c, "k", after(time.Second, constant("loaded")), "old")
		synctest.Wait()
		if err := c.Set(t.Context(), "k", "set"); err != nil {
			t.Fatal(err)
		}
		wantGet(t, c, "k", "set")
		time.Sleep(2 * time.Second)
		wantGet(t, c, "k", "set")
		if c.remote != nil {
			wantGet(t, more(), "k", "set")
		}
	})
}

// A load in the background that fails, or panics, is not repeated before the pause is over.
func TestRevalidationThatFails(t *testing.T) {
	for name, fails := range map[string]func(ctx, string) (string, error){
		"error": failing(errSource),
		"panic": func(ctx, string) (string, error) { panic("a bug") },
	} {
		t.Run(name, func(t *testing.T) {
			eachWindowed(t, func(o *cache.Options[string, string]) { o.StaleWhileRevalidate = ttl }, func(t *testing.T, c *instance, more func() *instance) {
				wantLoad(t, c, "k", constant("old"), "old")
				time.Sleep(ttl)
				load, loads := counted(fails)
				for range 4 {
					wantAtOnce(t, c, "k", load, "old")
					synctest.Wait()
				}
				if n := loads.Load(); n != 1 && !(n > 1 && c.remote != nil && c.Stats().LocalEntries == 0) {
					t.Errorf("%d loads", n)
				}
				time.Sleep(cache.DefaultStalePause + 1)
				wantAtOnce(t, c, "k", constant("new"), "old")
				synctest.Wait()
				wantAnswer(t, c, "k", loading(t), "new")
			})
		})
	}
}

// A read or a touch of a stale record by an instance without windows is a miss.
func TestRecordsOfCachesWithOtherWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		o := options(nil)
		o.StaleIfError = ttl
		with, without := newInstanceWith(t, s, o), newInstanceWith(t, s, options(nil))
		wantLoad(t, with, "k", constant("old"), "old")
		time.Sleep(ttl)
		wantError(t, without, "k", failing(errSource), errSource)
		wantLoad(t, without, "k", constant("new"), "new")
		wantAtOnce(t, with, "k", loading(t), "new")
		if rec := s.Record(remoteKey("k")); rec.State != remote.StateValue || rec.Window != 0 {
			t.Errorf("the record is %+v", rec)
		}
	})
}

func TestPreviousAndNotModified(t *testing.T) {
	eachWindowed(t, func(o *cache.Options[string, string]) { o.StaleIfError = ttl }, func(t *testing.T, c *instance, more func() *instance) {
		inner := newCache(t, cache.Options[string, string]{Name: "inner", TTL: ttl})
		load := func(outer ctx, key string) (string, error) {
			if v, ok := cache.Previous[string](outer); !ok || v != "old" {
				t.Errorf("the previous value: %q, %v", v, ok)
			}
			if _, ok := cache.Previous[int](outer); ok {
				t.Error("a previous value of another type")
			}
			return inner.GetOrLoad(outer, key, func(within ctx, _ string) (string, error) {
				if v, ok := cache.Previous[string](within); ok {
					t.Errorf("another cache's loader sees %q", v)
				}
				return "", fmt.Errorf("wrapped: %w", cache.ErrNotModified)
			})
		}
		unmodified := failing(cache.ErrNotModified)
		wantError(t, c, "k", unmodified, cache.ErrNotModified)
		wantLoad(t, c, "k", func(ctx ctx, _ string) (string, error) {
			if v, ok := cache.Previous[string](ctx); ok {
				t.Errorf("a previous value: %q", v)
			}
			return "old", nil
		}, "old")
		for range 20 { // longer than MaxAge, which counts from each load
			time.Sleep(ttl)
			wantLoad(t, c, "k", load, "old")
			wantGet(t, c, "k", "old")
		}
		if st := c.Stats(); st.LoadErrors != 1 || st.StaleHits != 0 {
			t.Errorf("%+v", st)
		}
	})
}
