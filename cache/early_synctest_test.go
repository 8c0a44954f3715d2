package cache_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// always is an EarlyRevalidation by which each read picks the value.
const always = 1e12

// eachEarly runs a test with caches of each kind that have a fixed TTL. Their local copies are
// trusted for all of it.
func eachEarly(t *testing.T, beta float64, change func(*cache.Options[string, string]), test func(t *testing.T, c *instance, more func() *instance)) {
	t.Helper()
	eachWindowed(t, func(o *cache.Options[string, string]) {
		o.EarlyRevalidation, o.FixedTTL = beta, true
		if !o.RemoteOnly {
			o.Local.TTL = 20 * ttl
		}
		if change != nil {
			change(o)
		}
	}, test)
}

// The loads of all keys took as long, and all keys end at the same time. Each key is read
// once, at that time before the end.
func TestEarlyRevalidationHasThePublishedProbability(t *testing.T) {
	const keys, took = 1000, time.Second
	for _, at := range []struct {
		beta float64
		left time.Duration
	}{{1, took / 2}, {1, 2 * took}, {2, 2 * took}} {
		t.Run(fmt.Sprintf("beta %v, %v left", at.beta, at.left), func(t *testing.T) {
			eachEarly(t, at.beta, func(o *cache.Options[string, string]) { o.MaxLoads = keys }, func(t *testing.T, c *instance, more func() *instance) {
				fillAll(c, keys, after(took, constant("v")))
				readers := []*instance{c}
				if c.remote != nil {
					readers = append(readers, more()) // finds the values in the remote tier
				}
				time.Sleep(ttl - at.left)
				for _, r := range readers {
					load, loads := counted(failing(errSource)) // leaves the value to the other reader
					for i := range keys {
						wantAtOnce(t, r, fmt.Sprint(i), load, "v")
					}
					synctest.Wait()
					wantShare(t, int(loads.Load()), keys, math.Exp(-float64(at.left)/(at.beta*float64(took))))
				}
			})
		})
	}
}

func fillAll(c getter, keys int, load func(ctx, string) (string, error)) {
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() { _, _ = c.GetOrLoad(context.Background(), fmt.Sprint(i), load) })
	}
	all.Wait()
	synctest.Wait()
}

// wantShare wants got of n, each with probability p, within six standard deviations.
func wantShare(t *testing.T, got, n int, p float64) {
	t.Helper()
	mean, deviation := float64(n)*p, math.Sqrt(float64(n)*p*(1-p))
	if math.Abs(float64(got)-mean) > 6*deviation {
		t.Errorf("%d of %d values were loaded early, want %.0f, give or take %.0f", got, n, mean, 6*deviation)
	}
}

// One instance of a fleet loads, and nobody waits. The value that it replaces is its loader's
// Previous.
func TestEarlyRevalidationIsOneLoadInTheFleet(t *testing.T) {
	const took = time.Second
	eachEarly(t, always, nil, func(t *testing.T, c *instance, more func() *instance) {
		fleet := []*instance{c}
		if c.remote != nil {
			fleet = append(fleet, more(), more())
		}
		wantLoad(t, c, "k", after(took, constant("old")), "old")
		time.Sleep(ttl / 2)
		load, loads := counted(after(took, func(ctx ctx, _ string) (string, error) {
			if v, ok := cache.Previous[string](ctx); v != "old" || !ok {
				t.Errorf("Previous: %q, %v", v, ok)
			}
			return "new", nil
		}))
		for range 3 {
			for _, c := range fleet {
				wantAtOnce(t, c, "k", load, "old")
				wantGet(t, c, "k", "old")
				synctest.Wait()
			}
		}
		if n := loads.Load(); n != 1 {
			t.Fatalf("%d loads in the fleet", n)
		}
		time.Sleep(took)
		synctest.Wait()
		wantGet(t, c, "k", "new")
		if st := c.Stats(); st.StaleHits != 0 || st.EarlyLoads != 1 || st.Misses != 1 {
			t.Errorf("%+v", st)
		}
		time.Sleep(ttl - took - 1) // the fill has begun another TTL
		wantGet(t, c, "k", "new")
	})
}

// A load that fails leaves the value, and is tried again after the pause.
func TestEarlyRevalidationThatFails(t *testing.T) {
	var remoteOnly bool
	eachEarly(t, always, func(o *cache.Options[string, string]) {
		o.StalePause, remoteOnly = 3*time.Second/2, o.RemoteOnly
	}, func(t *testing.T, c *instance, more func() *instance) {
		wantLoad(t, c, "k", after(time.Second, constant("old")), "old")
		load, loads := counted(failing(errSource))
		for range 10 {
			wantAtOnce(t, c, "k", load, "old")
			time.Sleep(time.Second)
		}
		want := int64(5)
		if remoteOnly {
			want = 10 // no local tier keeps the pause
		}
		if n := loads.Load(); n != want {
			t.Errorf("%d loads in five pauses", n)
		}
	})
}

// An Invalidate fences the fill of an early load, and removes the value that it replaces.
func TestInvalidateDuringAnEarlyRevalidation(t *testing.T) {
	eachEarly(t, always, nil, func(t *testing.T, c *instance, more func() *instance) {
		for _, write := range []func(){
			func() { invalidate(t, c, "k") },
			func() {
				if err := c.InvalidateTags(t.Context(), "any"); err != nil {
					t.Fatal(err)
				}
			},
		} {
			wantLoad(t, c, "k", after(time.Second, constant("old")), "old")
			wantAtOnce(t, c, "k", after(time.Second, constant("old")), "old")
			synctest.Wait()
			write()
			wantMiss(t, c, "k")
			time.Sleep(time.Second)
			synctest.Wait()
			wantMiss(t, c, "k")
			invalidate(t, c, "k")
		}
	})
}

// A read that renews a value has put its end off: what is left is MaxAge.
func TestEarlyRevalidationOfAValueThatIsRead(t *testing.T) {
	const took = 10 * time.Millisecond
	eachEarly(t, 1, func(o *cache.Options[string, string]) { o.FixedTTL = false }, func(t *testing.T, c *instance, more func() *instance) {
		wantLoad(t, c, "k", after(took, constant("v")), "v")
		for range 44 { // to before MaxAge
			time.Sleep(ttl / 5)
			wantAtOnce(t, c, "k", after(took, constant("v")), "v")
			synctest.Wait()
			if n := c.Stats().Loads; n > 1 {
				t.Fatalf("%d loads of a value that is read", n)
			}
		}
	})
}
