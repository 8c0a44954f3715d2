package loader_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeliverFreesTheCallersWhileTheLoadGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		deliver, end := make(chan struct{}), make(chan struct{})
		var after error
		published := false
		l := func(ctx context.Context, f *flight) (int, error) {
			<-deliver
			f.Deliver(1, nil)
			f.Deliver(2, errors.New("a second delivery")) // reaches nobody
			<-end
			after = ctx.Err()
			published = f.Publish(func() {})
			return 3, errors.New("what the load returns in the end") // neither
		}
		callers := []*outcome{start(t.Context(), &g, "k", l), start(t.Context(), &g, "k", l)}
		synctest.Wait()
		callers[0].mustWait(t)
		close(deliver)
		synctest.Wait()
		for _, c := range callers {
			c.mustBe(t, 1, nil)
		}
		waits := startPatient(t.Context(), &g, "k", value(4), time.Hour)
		synctest.Wait()
		waits.mustWait(t)

		close(end)
		synctest.Wait()
		waits.mustBe(t, 4, nil)
		if after != nil {
			t.Errorf("the load's context ended with its callers: %v", after)
		}
		if !published {
			t.Error("the flight was doomed though nobody doomed or abandoned it")
		}
	})
}

// A caller that has waited for its Patience takes the flight's place: the flight
// publishes nothing over what that caller may have found.
func TestFlightThatGoesOnForTooLongIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		end := make(chan struct{})
		first := start(t.Context(), &g, "k", func(_ context.Context, f *flight) (int, error) {
			f.Deliver(1, nil)
			<-end
			if f.Publish(func() {}) {
				t.Error("a flight that was replaced published")
			}
			return 0, nil
		})
		synctest.Wait()
		first.mustBe(t, 1, nil)
		var waited time.Duration
		next := startPatient(t.Context(), &g, "k", func(_ context.Context, f *flight) (int, error) {
			waited = f.Waited()
			return 2, nil
		}, time.Second)
		ctx, leave := context.WithCancel(t.Context())
		impatient := startPatient(ctx, &g, "k", unwanted(t), time.Second)
		synctest.Wait()
		leave()
		synctest.Wait()
		impatient.mustBe(t, 0, context.Canceled)
		time.Sleep(time.Second)
		synctest.Wait()
		next.mustBe(t, 2, nil)
		if waited != time.Second || next.took != time.Second {
			t.Errorf("waited %v, of %v", waited, next.took)
		}
		close(end)
	})
}

func TestSettleWaitsForWhatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		deliver := make(chan struct{})
		start(t.Context(), &g, "k", func(_ context.Context, f *flight) (int, error) {
			<-deliver
			f.Deliver(1, nil)
			time.Sleep(time.Minute)
			return 0, nil
		})
		settle := func(key string, patience time.Duration) time.Duration {
			began := time.Now()
			g.Settle(t.Context(), key, patience)
			return time.Since(began)
		}
		synctest.Wait()
		if took := settle("other", time.Hour) + settle("k", time.Hour); took != 0 {
			t.Errorf("waited %v for what has delivered nothing", took)
		}
		close(deliver)
		synctest.Wait()
		if took := settle("k", time.Second); took != time.Second {
			t.Errorf("waited %v, want the patience", took)
		}
		if took := settle("k", time.Hour); took != 59*time.Second {
			t.Errorf("waited %v, want the rest", took)
		}
	})
}

// The choice between two channels that are ready is random: hence the repeats.
func TestCallerWhoseContextEndedTakesWhatIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			caller := start(ctx, &g, "k", func(_ context.Context, f *flight) (int, error) {
				f.Deliver(1, nil)
				cancel()
				return 0, nil
			})
			synctest.Wait()
			caller.mustBe(t, 1, nil)
		}
	})
}

func TestWhatEndsALoadAfterDeliveryReachesNobody(t *testing.T) {
	ends := map[string]func(){
		"panic":  func() { panic("boom") },
		"Goexit": runtime.Goexit,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g group
				failure := errors.New("failure")
				c := start(t.Context(), &g, "k", func(_ context.Context, f *flight) (int, error) {
					f.Deliver(1, failure)
					end()
					return 2, nil
				})
				g.Wait()
				synctest.Wait()
				c.mustBe(t, 1, failure)
				next := start(t.Context(), &g, "k", value(3))
				synctest.Wait()
				next.mustBe(t, 3, nil)
			})
		})
	}
}

func TestDeliveredFlightCanStillBeDoomed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		end := make(chan struct{})
		first := start(t.Context(), &g, "k", func(_ context.Context, f *flight) (int, error) {
			f.Deliver(1, nil)
			<-end
			if f.Publish(func() {}) {
				t.Error("a doomed flight published")
			}
			return 0, nil
		})
		synctest.Wait()
		first.mustBe(t, 1, nil)
		g.Doom("k")
		next := start(t.Context(), &g, "k", value(2))
		synctest.Wait()
		next.mustBe(t, 2, nil)
		close(end)
	})
}

// An interim result is for the callers that wait. The load goes on without callers, and later
// callers get its own result.
func TestDeliverInterim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		interim, end := make(chan struct{}), make(chan struct{})
		loads := 0
		w := work{Interim: true, Load: func(ctx context.Context, f *flight) (int, error) {
			loads++
			<-interim
			f.DeliverInterim(1)
			f.DeliverInterim(3) // reaches nobody
			<-end
			return 2, ctx.Err()
		}}
		do := func(ctx context.Context) *outcome { return startWork(ctx, &g, "k", w) }
		first, second := do(t.Context()), do(t.Context())
		synctest.Wait()
		if g.Interim("k") {
			t.Error("there is no interim result yet")
		}
		close(interim)
		synctest.Wait()
		first.mustBe(t, 1, nil)
		second.mustBe(t, 1, nil)
		if !g.Interim("k") || g.Interim("other") {
			t.Error("the group does not know of the load that goes on")
		}
		ctx, cancel := context.WithCancel(t.Context())
		leaves, later := do(ctx), do(t.Context())
		synctest.Wait()
		later.mustWait(t)
		cancel()
		synctest.Wait()
		leaves.mustBe(t, 0, context.Canceled)
		close(end)
		synctest.Wait()
		later.mustBe(t, 2, nil)
		if g.Interim("k") || loads != 1 {
			t.Errorf("%d loads, or the load has not ended", loads)
		}
	})
}
