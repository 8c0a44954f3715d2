package loader_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestCancelledCallerLeavesAtOnceAndTheOthersGetTheValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		l := func(ctx context.Context, _ *flight) (int, error) {
			select {
			case <-release:
				return 1, nil
			case <-ctx.Done():
				return 0, errors.New("the load was cancelled")
			}
		}
		first, cancelFirst := context.WithCancel(t.Context())
		third, cancelThird := context.WithCancelCause(t.Context())
		callers := []*outcome{
			start(first, &g, "k", l),
			start(t.Context(), &g, "k", l),
			start(third, &g, "k", l),
			start(t.Context(), &g, "k", l),
		}
		synctest.Wait()
		cancelFirst()
		synctest.Wait()
		callers[0].mustBe(t, 0, context.Canceled)
		callers[1].mustWait(t)
		callers[2].mustWait(t)
		cancelThird(errors.New("a cause"))
		synctest.Wait()
		callers[2].mustBe(t, 0, context.Canceled)
		callers[1].mustWait(t)
		callers[3].mustWait(t)
		close(release)
		synctest.Wait()
		callers[1].mustBe(t, 1, nil)
		callers[3].mustBe(t, 1, nil)
	})
}

func TestCallerWithADeadlineLeavesWhenItPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		slow := func(context.Context, *flight) (int, error) {
			time.Sleep(time.Minute)
			return 1, nil
		}
		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h := start(hurried, &g, "k", slow)
		patient := start(t.Context(), &g, "k", slow)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		h.mustBe(t, 0, context.DeadlineExceeded)
		if h.took != time.Second {
			t.Errorf("the caller left after %v, its deadline was 1s", h.took)
		}
		patient.mustBe(t, 1, nil)
	})
}

func TestLoadIsCancelledWhenItsLastCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		var loadErr error
		l := func(ctx context.Context, _ *flight) (int, error) {
			<-ctx.Done()
			loadErr = ctx.Err()
			return 0, loadErr
		}
		var cancels []context.CancelFunc
		var callers []*outcome
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			cancels = append(cancels, cancel)
			callers = append(callers, start(ctx, &g, "k", l))
		}
		for i, cancel := range cancels {
			synctest.Wait()
			if loadErr != nil {
				t.Fatalf("the load was cancelled while %d callers waited", len(cancels)-i)
			}
			cancel()
		}
		synctest.Wait()
		if loadErr != context.Canceled {
			t.Errorf("after the last caller the load's context says %v, want %v", loadErr, context.Canceled)
		}
		for _, c := range callers {
			c.mustBe(t, 0, context.Canceled)
		}
	})
}

func TestLoadHasTheFirstCallersValuesAndNotItsEnd(t *testing.T) {
	type name struct{}
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		var early, late error
		var bounded bool
		var got any
		l := func(ctx context.Context, _ *flight) (int, error) {
			got = ctx.Value(name{})
			_, bounded = ctx.Deadline()
			early = ctx.Err()
			<-release
			late = ctx.Err()
			return 1, nil
		}
		first, cancel := context.WithTimeout(context.WithValue(t.Context(), name{}, "first"), time.Second)
		defer cancel()
		start(first, &g, "k", l)
		synctest.Wait()
		second := start(context.WithValue(t.Context(), name{}, "second"), &g, "k", l)
		time.Sleep(time.Hour)
		close(release)
		synctest.Wait()
		second.mustBe(t, 1, nil)
		if got != "first" {
			t.Errorf("the load's context holds the value %v, want first", got)
		}
		if bounded {
			t.Error("the load's context has a deadline")
		}
		if early != nil || late != nil {
			t.Errorf("the load's context ended: %v at its start, %v after the first caller's deadline", early, late)
		}
	})
}

func TestContextEndsWhenTheLoadReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := map[string]load{
			"return": value(1),
			"panic":  func(context.Context, *flight) (int, error) { panic("boom") },
		}
		for name, end := range ends {
			var g group
			var ctx context.Context
			start(t.Context(), &g, "k", func(c context.Context, f *flight) (int, error) {
				ctx = c
				return end(c, f)
			})
			synctest.Wait()
			if ctx.Err() != context.Canceled {
				t.Errorf("%s: the context of a load that is over says %v", name, ctx.Err())
			}
		}
	})
}

func TestAbandonedFlightIsDoomed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		published := true
		ctx, cancel := context.WithCancel(t.Context())
		abandoned := start(ctx, &g, "k", func(_ context.Context, f *flight) (int, error) {
			<-release // deaf to its context
			published = f.Publish(func() { t.Error("an abandoned flight published") })
			return 1, nil
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		abandoned.mustBe(t, 0, context.Canceled)

		// The next caller has its own flight, which the end of the old one leaves alone.
		next := make(chan struct{})
		second := start(t.Context(), &g, "k", func(_ context.Context, f *flight) (int, error) {
			<-next
			if !f.Publish(func() {}) {
				t.Error("the flight after an abandoned one is doomed")
			}
			return 2, nil
		})
		synctest.Wait()
		second.mustWait(t)
		close(release)
		synctest.Wait()
		if published {
			t.Error("Publish of an abandoned flight said that it did")
		}
		second.mustWait(t)
		third := start(t.Context(), &g, "k", unwanted(t))
		synctest.Wait()
		close(next)
		synctest.Wait()
		second.mustBe(t, 2, nil)
		third.mustBe(t, 2, nil)
	})
}

func TestFlightThatOneCallerStillWantsIsNotDoomed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		published := false
		l := func(_ context.Context, f *flight) (int, error) {
			<-release
			published = f.Publish(func() {})
			return 1, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		start(ctx, &g, "k", l)
		stays := start(t.Context(), &g, "k", l)
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		synctest.Wait()
		stays.mustBe(t, 1, nil)
		if !published {
			t.Error("the flight was doomed while a caller wanted it")
		}
	})
}
