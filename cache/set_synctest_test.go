package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

// A Set that may store nothing is a write that has committed all the same: the copies of
// other instances have to go.
func TestSetUnderATombstoneIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		wantLoad(t, b, "k", constant("old"), "old")
		s.Tombstone(remoteKey("k"), ttl)
		wantGet(t, b, "k", "old")
		if err := a.Set(t.Context(), "k", "new"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantMiss(t, a, "k")
		wantMiss(t, b, "k")
		if n := b.Stats().InvalidationsReceived; n != 1 {
			t.Errorf("the other instance was told %d times", n)
		}
		if rec := s.Record(remoteKey("k")); rec.State != remote.StateTombstone {
			t.Errorf("the record is %v", rec.State)
		}
		time.Sleep(ttl)
		wantLoad(t, b, "k", constant("loaded"), "loaded")
	})
}

// Where that fails it is an error, and this instance does not read the key.
func TestSetUnderATombstoneThatIsNotAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, _ := pair(t)
		s.Tombstone(remoteKey("k"), ttl)
		a.remote.Inject(on("append", cachetest.Fault{Err: errDown}))
		if err := a.Set(t.Context(), "k", "new"); err == nil {
			t.Error("a Set of which nobody was told succeeded")
		}
		if n := a.Stats().Unconfirmed; n != 1 {
			t.Errorf("%d keys are distrusted", n)
		}
	})
}

// A Mutate of another instance, and of this one, whose tombstone Redis may have refused.
func TestSetDuringMutate(t *testing.T) {
	for _, tombstone := range []string{"stands", "failed"} {
		for _, by := range []string{"this instance", "another"} {
			if tombstone == "failed" && by == "another" {
				continue // nobody else knows of the Mutate then
			}
			t.Run(by+", tombstone "+tombstone, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, a, b := pair(t)
					wantLoad(t, b, "k", constant("old"), "old")
					m := a
					if by == "another" {
						m = b
					}
					if tombstone == "failed" {
						m.remote.Inject(down)
					}
					finish := mutateLate(t, m)
					m.remote.Inject(nil)
					if err := a.Set(t.Context(), "k", "set"); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					for who, c := range map[string]*instance{"a": a, "b": b, "new": newInstance(t, s)} {
						if v, err := c.Get(t.Context(), "k"); err != cache.ErrMiss {
							t.Errorf("%s got %q, %v during the Mutate", who, v, err)
						}
					}
					if err := finish(nil); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					wantMiss(t, a, "k")
					wantLoad(t, b, "k", constant("new"), "new")
					wantGet(t, a, "k", "new")
				})
			})
		}
	}
}

// Within HoldOff the tombstone stands, and if it could not be put this instance knows.
// A key that is not held off is stored, and may be read at once: what is Set was not read
// from a replica that lags.
func TestSetAndHoldOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		a := newInstanceWith(t, s, heldOff(nil))
		b := newInstanceWith(t, s, heldOff(nil))
		time.Sleep(2 * time.Second)
		set := func(v string) {
			t.Helper()
			if err := a.Set(t.Context(), "k", v); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		set("v red")
		wantGet(t, a, "k", "v red")
		wantGet(t, b, "k", "v red")
		invalidate(t, b, "k")
		synctest.Wait()
		set("w red")
		wantMiss(t, a, "k")
		wantMiss(t, b, "k")
		time.Sleep(2 * time.Second)
		set("x red")
		wantGet(t, b, "k", "x red")
	})
}
