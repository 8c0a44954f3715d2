package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/local"
)

// TestTrustCountsFromWhatWasHeard: the log of B is silent, and nobody has noticed. What A
// invalidates a second into the silence, B serves for Local.TTL after that at most, however
// late it comes to its copy, and however long the load of that takes.
func TestTrustCountsFromWhatWasHeard(t *testing.T) {
	const localTTL, second = 10 * time.Second, time.Second
	slowly := func(context.Context, string) (string, error) {
		time.Sleep(6 * second)
		return "old red", nil
	}
	for name, c := range map[string]struct {
		declare func(*testing.T, *instance)
		copy    func(*testing.T, *instance) // until seven seconds have passed
	}{
		"read late": {
			func(t *testing.T, a *instance) { invalidateTags(t, a, "red") },
			func(t *testing.T, b *instance) {
				time.Sleep(7 * second)
				wantGet(t, b, "k", "old red")
			},
		},
		"loaded meanwhile": {
			func(t *testing.T, a *instance) { invalidateTags(t, a, "red") },
			func(t *testing.T, b *instance) { wantLoad(t, b, "cold", slowly, "old red") },
		},
		"loaded meanwhile, without the remote tier": {
			func(t *testing.T, a *instance) { invalidate(t, a, "cold") },
			func(t *testing.T, b *instance) {
				b.remote.Inject(func(op string) cachetest.Fault {
					if op == "log" {
						return cachetest.Fault{Delay: time.Hour}
					}
					return cachetest.Fault{Err: errDown}
				})
				wantLoad(t, b, "cold", slowly, "old red")
				b.remote.Inject(on("log", cachetest.Fault{Delay: time.Hour}))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				o := tagged(nil)
				o.Local = local.Options{TTL: localTTL}
				a, b := newInstanceWith(t, s, o), newInstanceWith(t, s, o)
				wantLoad(t, a, "k", constant("old red"), "old red")
				synctest.Wait() // its tags are recorded
				slowLog(t, b, time.Hour)
				invalidate(t, a, "another") // which B is not told
				done := make(chan struct{})
				go func() {
					defer close(done)
					time.Sleep(second)
					c.declare(t, a)
				}()
				c.copy(t, b)
				<-done
				time.Sleep(localTTL - 5*second) // eleven seconds and more since the silence began
				wantMiss(t, b, "cold")
				if name == "read late" {
					wantMiss(t, b, "k")
				}
			})
		})
	}
}

// Whether the log is live is decided when the read begins: a reply that takes longer than
// Local.TTL costs no second round trip.
func TestASlowReadAsksForNoTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const localTTL = 10 * time.Millisecond
		s := cachetest.NewServer()
		o := tagged(nil)
		o.Local = local.Options{TTL: localTTL}
		a, b := newInstanceWith(t, s, o), newInstanceWith(t, s, o)
		wantLoad(t, a, "k", constant("v red"), "v red")
		synctest.Wait()          // its tags are recorded
		slowLog(t, b, time.Hour) // and ends that with the test
		b.remote.Inject(func(op string) cachetest.Fault {
			switch op {
			case "log":
				return cachetest.Fault{Delay: time.Hour}
			case "get":
				return cachetest.Fault{Hold: 2 * localTTL}
			}
			return cachetest.Fault{}
		})
		invalidate(t, a, "another") // from now on b has not read all of the log
		wantGet(t, b, "k", "v red")
		if gets, tags := b.remote.Calls("get"), b.remote.Calls("tags"); gets != 1 || tags != 0 {
			t.Errorf("%d GETs and %d reads of tags, want one and none", gets, tags)
		}
		time.Sleep(localTTL)
		wantGet(t, b, "k", "v red")
		if tags := b.remote.Calls("tags"); tags != 1 {
			t.Errorf("%d reads of tags after Local.TTL, want one", tags)
		}
	})
}

// TestSilencedFlightIsNotFilledAfterAFailedInvalidate: a flight that an entry of the log has
// silenced may still fill the remote tier, and an Invalidate finds it no more.
//
//  1. B invalidates k. A begins to load, under a lease from after that.
//  2. The entry reaches A, and silences the load.
//  3. The source is written to. A's Invalidate does not get through: the lease stands.
//  4. The load fills.
func TestSilencedFlightIsNotFilledAfterAFailedInvalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := taggedPair(t)
		slowLog(t, a, late)
		invalidate(t, b, "k")
		proceed := make(chan struct{})
		got := call(t, func() (string, error) {
			return a.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
				<-proceed
				return "old", nil
			})
		})
		deliver(2 * late)
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		if err := a.Invalidate(t.Context(), "k"); err == nil {
			t.Fatal("the deletion got through")
		}
		a.remote.Inject(nil)
		close(proceed)
		if v := <-got; v != "old" {
			t.Errorf("the load's caller got %q", v)
		}
		synctest.Wait()
		for _, i := range []*instance{a, b, newTagged(t, s)} {
			wantMiss(t, i, "k")
		}
	})
}

// TestTagIsInvalidatedWhileSetLooksAtItsValue: what Set stores is from before.
func TestTagIsInvalidatedWhileSetLooksAtItsValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := taggedPair(t)
		o := tagged(nil)
		o.Tags = func(key, value string) []string {
			if value == "old red" {
				invalidateTags(t, b, "red")
				synctest.Wait() // this instance is told
			}
			return words(key, value)
		}
		c := newInstanceWith(t, s, o)
		if err := c.Set(t.Context(), "k", "old red"); err != nil {
			t.Fatal(err)
		}
		for _, i := range []*instance{a, b, c, newTagged(t, s)} {
			if v, err := i.Get(t.Context(), "k"); err != cache.ErrMiss {
				t.Errorf("Get = %q, %v", v, err)
			}
		}
	})
}
