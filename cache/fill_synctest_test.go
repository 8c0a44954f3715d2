package cache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

// stall is less than the budget.
const stall = cachetest.DefaultBudget / 5

// logLag is how late the entries of a log come that does not deliver in time.
const logLag = 10 * time.Second

func TestNobodyWaitsForAFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		a.remote.Inject(on("fill", cachetest.Fault{Delay: stall}))
		start := time.Now()
		wantAnswer(t, a, "k", constant("v"), "v")
		if took := time.Since(start); took != 0 {
			t.Errorf("the caller waited %v", took)
		}
		wantMiss(t, b, "k") // that instance is no part of it
		// Whoever comes meanwhile on this one finds the value, and not another load.
		for _, read := range []func() (string, error){
			func() (string, error) { return a.Get(t.Context(), "k") },
			func() (string, error) { return a.GetOrLoad(t.Context(), "k", loading(t)) },
		} {
			if v, err := read(); v != "v" || err != nil {
				t.Errorf("a later caller got %q, %v", v, err)
			}
		}
		if took := time.Since(start); took != stall {
			t.Errorf("the fill took %v", took)
		}
		wantGet(t, b, "k", "v")
	})
}

// Its caller has the value, and nobody else gets it:
//
//  1. A load reads the source, and its caller gets the old value.
//  2. Another instance writes to the source. Its Invalidate deletes the lease.
//  3. A call begins, before the entry of the log is here. The fill is under way.
func TestAValueWhoseFillIsUnderWayIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(10 * logLag)
		_, a, b := pair(t)
		var src source
		a.remote.Inject(func(op string) cachetest.Fault {
			switch op {
			case "fill":
				return cachetest.Fault{Delay: stall}
			case "log":
				return cachetest.Fault{Delay: logLag}
			}
			return cachetest.Fault{}
		})
		wantAnswer(t, a, "k", src.load, "v0")
		src.write()
		invalidate(t, b, "k")
		wantAnswer(t, a, "k", src.load, "v1")
		if n := a.Stats().RefusedFills; n != 1 {
			t.Errorf("%d refused fills, want 1", n)
		}
	})
}

// A fill that hangs costs those who come meanwhile one budget in all, their own look at
// the remote tier included.
func TestAFillThatHangsCostsLaterCallersOneBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		hangsFromTheFillOn(a.remote)
		wantAnswer(t, a, "k", constant("v"), "v")
		start := time.Now()
		later := call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", constant("w")) })
		if v, err := a.Get(t.Context(), "k"); err != cache.ErrMiss && v != "w" {
			t.Errorf("Get: %q, %v; want a miss, or what the other one loads", v, err)
		}
		if v := <-later; v != "w" {
			t.Errorf("GetOrLoad: %q", v)
		}
		if took := time.Since(start); took > cachetest.DefaultBudget {
			t.Errorf("they waited %v", took)
		}
	})
}

// What the remote tier does not get is kept in the local one, fenced by the lease.
func TestALargeValueIsKeptLocallyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		large := strings.Repeat("x", cache.DefaultMaxPayload) // and two quotes in JSON
		var traced []cache.FillOutcome
		o := options(s.Remote())
		o.Trace = &cache.Trace{Fill: func(_ context.Context, i cache.FillInfo) { traced = append(traced, i.Outcome) }}
		o.Name = "other"
		c := newCache(t, o)
		wantLoad(t, c, "k", constant(large), large)
		wantLoad(t, c, "k", loading(t), large)
		if st := c.Stats(); st.OverMaxPayload != 1 || st.Fills != 1 || len(traced) != 1 || traced[0] != cache.FillTooLarge {
			t.Errorf("%d over, %d fills, traced %v", st.OverMaxPayload, st.Fills, traced)
		}
		time.Sleep(ttl / 2) // the default of Local.TTL
		wantLoad(t, c, "k", constant("small"), "small")

		wantLoad(t, a, "k", constant(large), large)
		wantMiss(t, b, "k")
		if n := a.remote.Calls("fill"); n != 0 {
			t.Errorf("%d fills were sent", n)
		}
		invalidate(t, b, "k")
		synctest.Wait()
		wantMiss(t, a, "k")

		wantLoad(t, a, "k", constant("old"), "old")
		if err := a.Set(t.Context(), "k", large); err != nil {
			t.Errorf("Set: %v", err)
		}
		wantMiss(t, a, "k")
		wantMiss(t, b, "k")
	})
}

// An Invalidate during the load takes its lease, and so the value is not kept.
func TestALargeValueIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(10 * logLag)
		_, a, b := pair(t)
		large := strings.Repeat("x", cache.DefaultMaxPayload)
		a.remote.Inject(on("log", cachetest.Fault{Delay: logLag}))
		wantLoad(t, a, "k", func(context.Context, string) (string, error) {
			invalidate(t, b, "k")
			return large, nil
		}, large)
		wantMiss(t, a, "k")
		if n := a.Stats().RefusedFills; n != 1 {
			t.Errorf("%d refused fills, want 1", n)
		}
	})
}

// A value that the remote tier does not take costs one load, and not one for each read.
func TestAFillThatFailsEachTimeCostsOneLoad(t *testing.T) {
	for name, fault := range map[string]cachetest.Fault{
		"fails": {Err: errDown}, "hangs": {Delay: time.Hour}, "is refused": {Err: cachetest.ErrFull, Applied: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, _ := pair(t)
				a.remote.Inject(on("fill", fault))
				var src source
				for range 40 {
					wantLoad(t, a, "k", src.load, "v0")
					time.Sleep(3 * cachetest.DefaultBudget) // the fill, and the release of its lease
				}
				if n := src.loads.Load(); n != 1 {
					t.Errorf("%d loads for 40 reads", n)
				}
			})
		})
	}
}

// A fill that was carried out late, or whose reply was lost, is found by the next read.
func TestAFillWhoseReplyWasLostIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		a.remote.Inject(on("fill", cachetest.Fault{Err: errDown, Applied: true}))
		wantLoad(t, a, "k", constant("v"), "v")
		wantLoad(t, a, "k", loading(t), "v")
		if n := a.Stats().RemoteHits; n != 1 {
			t.Errorf("%d remote hits, want 1", n)
		}
	})
}

// A Set whose fill fails gives its lease up: others would wait for it.
func TestASetThatFailsLeavesNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		a.remote.Inject(on("fill", cachetest.Fault{Err: errDown}))
		if err := a.Set(t.Context(), "k", "v"); !errors.Is(err, errDown) {
			t.Fatalf("Set: %v", err)
		}
		if rec := s.Record(remoteKey("k")); rec.State != remote.StateAbsent {
			t.Errorf("the remote tier holds a %v", rec.State)
		}
		start := time.Now()
		wantAnswer(t, b, "k", constant("w"), "w")
		if took := time.Since(start); took != 0 {
			t.Errorf("another instance waited %v", took)
		}
	})
}
