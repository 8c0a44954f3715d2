package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
)

// result is what a call in the background has returned.
type result struct {
	value string
	err   error
	took  time.Duration
}

// callFor starts a GetOrLoad whose caller waits for d at most; 0 for any time.
func callFor(t *testing.T, c getter, d time.Duration, load func(ctx, string) (string, error)) <-chan result {
	done := make(chan result, 1)
	ctx, cancel := t.Context(), context.CancelFunc(func() {})
	if d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	}
	go func() {
		defer cancel()
		start := time.Now()
		v, err := c.GetOrLoad(ctx, "k", load)
		done <- result{v, err, time.Since(start)}
	}()
	synctest.Wait()
	return done
}

// A lease that was not renewed for two thirds of its TTL is not waited for. One of those who
// wait takes it over, and the others wait for that one.
func TestNobodyWaitsForALeaseThatIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		fleet := []*instance{b, newInstance(t, s), newInstance(t, s)}
		late := callFor(t, a, 0, after(time.Minute, constant("late")))
		time.Sleep(cachetest.DefaultLeaseTTL) // of a long load, which renews its lease
		a.remote.Crash()
		const took = time.Second
		load, loads := counted(after(took, constant("v")))
		var calls []<-chan result
		for _, c := range fleet {
			calls = append(calls, callFor(t, c, 0, load))
		}
		for _, done := range calls {
			r := <-done
			if r.value != "v" || r.err != nil || r.took > cachetest.DefaultLeaseTTL*2/3+took {
				t.Errorf("%q, %v, after %v", r.value, r.err, r.took)
			}
		}
		if n := loads.Load(); n != 1 {
			t.Errorf("%d loads", n)
		}
		synctest.Wait()
		<-late
		wantGet(t, newInstance(t, s), "k", "v")
	})
}

// A caller with a deadline waits for the load of another instance for as long as the caller has
// time for a load of its own, also if it joins a flight whose first caller has no deadline.
func TestACallerWithADeadlineLoadsInTime(t *testing.T) {
	const deadline, took = 2 * time.Second, 300 * time.Millisecond
	for name, first := range map[string]bool{"first": true, "joins": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				holder := callFor(t, a, 0, after(5*time.Second, constant("theirs")))
				load, loads := counted(after(took, constant("own")))
				var patient <-chan result
				if !first {
					patient = callFor(t, b, 0, load)
				}
				r := <-callFor(t, b, deadline, load)
				// Nothing is known yet of how long a load takes.
				if r.value != "own" || r.err != nil || r.took != deadline/2+took {
					t.Errorf("%q, %v, after %v", r.value, r.err, r.took)
				}
				if !first {
					<-patient
				}
				r = <-callFor(t, b, deadline, load)
				if r.value != "own" || r.err != nil || r.took != deadline-2*took+took {
					t.Errorf("%q, %v, after %v", r.value, r.err, r.took)
				}
				if n := loads.Load(); n != 2 {
					t.Errorf("%d loads", n)
				}
				<-holder
				synctest.Wait()
				wantGet(t, b, "k", "theirs") // which the holder of the lease has stored
			})
		})
	}
}

// A caller without a deadline waits on.
func TestACallerWithoutADeadlineWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		callFor(t, a, 0, after(5*time.Second, constant("theirs")))
		if r := <-callFor(t, b, 0, loading(t)); r.value != "theirs" || r.err != nil {
			t.Errorf("%q, %v", r.value, r.err)
		}
	})
}
