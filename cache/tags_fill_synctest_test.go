package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// TestTagIsInvalidatedDuringFill: the value is on its way to the remote tier.
func TestTagIsInvalidatedDuringFill(t *testing.T) {
	for name, fault := range map[string]cachetest.Fault{"before": {Delay: late}, "after": {Hold: late}} {
		t.Run(name, func(t *testing.T) {
			inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
				_, a, b := taggedPair(t)
				a.remote.Inject(on("fill", fault))
				got := call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", constant("old")) })
				time.Sleep(late / 2)
				declare(t, a)
				<-got
				deliver(late)
				wantMiss(t, a, "k")
				wantMiss(t, b, "k")
				if st := a.Stats(); st.DoomedFills != 1 || st.LocalEntries != 0 {
					t.Fatalf("stats: %+v", st)
				}
			})
		})
	}
}

// TestOldFlightIsNotJoinedAgain: its callers have their answer, and it goes on with a
// fill that takes long. Who comes after the invalidation does not wait for that.
func TestOldFlightIsNotJoinedAgain(t *testing.T) {
	inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
		_, a, _ := taggedPair(t)
		a.remote.Inject(func(op string) cachetest.Fault {
			return map[string]cachetest.Fault{"get": {Delay: 30 * time.Millisecond}, "fill": {Delay: 45 * time.Millisecond}}[op]
		})
		got := call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", constant("old")) })
		time.Sleep(40 * time.Millisecond) // 10 into the fill
		declare(t, a)
		if v := <-got; v != "old" { // when the budget is spent, and the fill is not over
			t.Errorf("the early caller got %q", v)
		}
		a.remote.Inject(nil)
		start := time.Now()
		later, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if v, err := a.GetOrLoad(later, "k", constant("new")); v != "new" || err != nil {
			t.Errorf("the later caller got %q, %v", v, err)
		}
		if took := time.Since(start); took > cachetest.DefaultBudget {
			t.Errorf("the later caller waited %v", took)
		}
		deliver(time.Second)
		wantLoad(t, a, "k", constant("new"), "new")
	})
}

// TestReadDuringInvalidateTags forces the interleaving that the second drop closes: a
// read comes after the first one, and before the remote tier has heard of anything.
func TestReadDuringInvalidateTags(t *testing.T) {
	for name, faults := range map[string]map[string]cachetest.Fault{
		"replied before": {"append": {Delay: 10 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
				_, a, _ := taggedPair(t)
				wantLoad(t, a, "k", constant("old"), "old")
				synctest.Wait()
				a.remote.Inject(func(op string) cachetest.Fault { return faults[op] })
				done := make(chan struct{})
				go func() {
					declare(t, a)
					close(done)
				}()
				time.Sleep(time.Millisecond) // after the first drop
				_, _ = a.Get(t.Context(), "k")
				<-done
				synctest.Wait()
				a.remote.Inject(nil)
				wantMiss(t, a, "k")
			})
		})
	}
}

func TestTagIsInvalidatedDuringLoadWithoutTheRemoteTier(t *testing.T) {
	inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
		_, a, b := taggedPair(t)
		for _, by := range []*instance{a, b} {
			var src source
			a.remote.Inject(on("lease", cachetest.Fault{Err: errDown}))
			finish := loadLate(t, a, &src)
			declare(t, by)
			synctest.Wait()
			finish()
			synctest.Wait()
			wantMiss(t, a, "k")
		}
	})
}

// A load counts from its beginning, and not from when its caller came.
func TestTagIsInvalidatedBeforeALoadBegins(t *testing.T) {
	eachTierAndWay(t, func(t *testing.T, o cache.Options[string, string], declare func(*testing.T, wide)) {
		o.MaxLoads = 1
		c := newCache(t, o)
		var src source
		finish := loadLate(t, elsewhere{c}, &source{})
		waits := call(t, func() (string, error) { return c.GetOrLoad(t.Context(), "k", src.load) })
		synctest.Wait()
		src.write()
		declare(t, c)
		finish()
		if v := <-waits; v != "v1" {
			t.Errorf("who waited for a place got %q", v)
		}
		synctest.Wait()
		wantLoad(t, c, "k", loading(t), "v1")
	})
}

func TestOtherTagsDoNotDoomALoad(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.Tags = words
		c := newCache(t, o)
		finish := loadLate(t, c, &source{})
		invalidateTags(t, c, "other")
		joined := call(t, func() (string, error) { return c.GetOrLoad(t.Context(), "k", loading(t)) })
		synctest.Wait()
		finish()
		if v := <-joined; v != "v0" {
			t.Errorf("who joined got %q", v)
		}
		synctest.Wait()
		wantLoad(t, c, "k", loading(t), "v0")
		if st := c.Stats(); st.Loads != 1 || st.Fills != 1 || st.DoomedFills != 0 {
			t.Fatalf("stats: %+v", st)
		}
	})
}
