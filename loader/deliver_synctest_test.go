package loader_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
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
		joins := start(t.Context(), &g, "k", unwanted(t))
		synctest.Wait()
		joins.mustBe(t, 1, nil)

		close(end)
		synctest.Wait()
		if after != nil {
			t.Errorf("the load's context ended with its callers: %v", after)
		}
		if !published {
			t.Error("the flight was doomed though nobody doomed or abandoned it")
		}
		next := start(t.Context(), &g, "k", value(4))
		synctest.Wait()
		next.mustBe(t, 4, nil)
	})
}

// The choice between two channels that are ready is random: hence the repeats.
func TestCallerWhoseContextEndedTakesWhatIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		end := make(chan struct{})
		start(t.Context(), &g, "k", func(ctx context.Context, f *flight) (int, error) {
			f.Deliver(1, nil)
			<-end
			if ctx.Err() != nil {
				t.Error("a late caller's context cancelled the load")
			}
			return 0, nil
		})
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 {
			late := start(ended, &g, "k", unwanted(t))
			synctest.Wait()
			late.mustBe(t, 1, nil)
		}
		close(end)
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
