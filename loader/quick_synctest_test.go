package loader_test

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nearside-go/nearside/loader"
)

type quick = func(context.Context, *flight) (int, error, bool)

func TestQuickResultNeedsNoLoadAndNoGoroutine(t *testing.T) {
	var g group
	failure := errors.New("failure")
	for _, err := range []error{nil, failure} {
		var stack string
		got, gotErr := g.Do(t.Context(), "k", work{
			Quick: func(context.Context, *flight) (int, error, bool) {
				stack = string(debug.Stack())
				return 1, err, true
			},
			Load: unwanted(t),
		})
		if got != 1 || gotErr != err {
			t.Errorf("Do = %d, %v, want 1, %v", got, gotErr, err)
		}
		if !strings.Contains(stack, t.Name()) {
			t.Errorf("Quick did not run on its caller's goroutine:\n%s", stack)
		}
	}
}

func TestLoadFollowsAQuickThatFoundNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		quick, release := make(chan struct{}), make(chan struct{})
		w := work{
			Quick: func(context.Context, *flight) (int, error, bool) {
				<-quick
				return 1, errors.New("not found is no result"), false
			},
			Load: func(ctx context.Context, f *flight) (int, error) {
				<-release
				if ctx.Err() != nil || !f.Publish(func() {}) {
					t.Error("the flight ended with its Quick")
				}
				return 2, nil
			},
		}
		first := startWork(t.Context(), &g, "k", w)
		synctest.Wait()
		second := startWork(t.Context(), &g, "k", w)
		synctest.Wait()
		close(quick)
		synctest.Wait()
		first.mustWait(t)
		second.mustWait(t)
		third := start(t.Context(), &g, "k", unwanted(t))
		synctest.Wait()
		close(release)
		synctest.Wait()
		first.mustBe(t, 2, nil)
		second.mustBe(t, 2, nil)
		third.mustBe(t, 2, nil)
	})
}

// blocked returns a Quick that finds v when it is released.
func blocked(release <-chan struct{}, v int) quick {
	return func(context.Context, *flight) (int, error, bool) {
		<-release
		return v, nil, true
	}
}

func TestQuickIsSharedAndThoseWhoJoinedCanLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		first := startWork(t.Context(), &g, "k", work{Quick: blocked(release, 1), Load: unwanted(t)})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		leaves := start(ctx, &g, "k", unwanted(t))
		stays := start(t.Context(), &g, "k", unwanted(t))
		synctest.Wait()
		cancel()
		synctest.Wait()
		leaves.mustBe(t, 0, context.Canceled)
		close(release)
		synctest.Wait()
		first.mustBe(t, 1, nil)
		stays.mustBe(t, 1, nil)
	})
}

func TestQuickOutlastsItsCallersContext(t *testing.T) {
	type name struct{}
	synctest.Test(t, func(t *testing.T) {
		for _, found := range []bool{true, false} {
			var g group
			release := make(chan struct{})
			var quickCtx, loadCtx context.Context
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), name{}, "first"))
			c := startWork(ctx, &g, "k", work{
				Quick: func(ctx context.Context, _ *flight) (int, error, bool) {
					quickCtx = ctx
					<-release
					return 1, nil, found
				},
				Load: func(ctx context.Context, _ *flight) (int, error) {
					loadCtx = ctx
					<-ctx.Done()
					return 2, nil
				},
			})
			synctest.Wait()
			cancel()
			synctest.Wait()
			c.mustWait(t) // it is busy with Quick
			if quickCtx.Err() != nil || quickCtx.Value(name{}) != "first" {
				t.Errorf("Quick's context: %v, value %v", quickCtx.Err(), quickCtx.Value(name{}))
			}
			close(release)
			synctest.Wait()
			if found {
				c.mustBe(t, 1, nil)
				continue
			}
			c.mustBe(t, 0, context.Canceled)
			if loadCtx.Err() != context.Canceled || loadCtx.Value(name{}) != "first" {
				t.Errorf("the load's context: %v, value %v", loadCtx.Err(), loadCtx.Value(name{}))
			}
		}
	})
}

func TestPanicInQuickReachesEveryCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		first := startWork(t.Context(), &g, "k", work{
			Quick: func(context.Context, *flight) (int, error, bool) {
				<-release
				return readFromABrokenSource("boom"), nil, false
			},
			Load: unwanted(t),
		})
		synctest.Wait()
		second := start(t.Context(), &g, "k", unwanted(t))
		synctest.Wait()
		close(release)
		synctest.Wait()
		for _, c := range []*outcome{first, second} {
			p, ok := c.panicked.(*loader.Panic)
			if !ok || p.Value != "boom" || !strings.Contains(string(p.Stack), "readFromABrokenSource") {
				t.Errorf("a caller panicked with %v", c.panicked)
			}
		}
		next := start(t.Context(), &g, "k", value(2))
		synctest.Wait()
		next.mustBe(t, 2, nil)
	})
}

// The caller whose goroutine ran Quick cannot be kept alive: it ends as it asked to.
func TestGoexitInQuickGivesTheOthersAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		first := startWork(t.Context(), &g, "k", work{
			Quick: func(context.Context, *flight) (int, error, bool) {
				<-release
				runtime.Goexit()
				return 1, nil, true
			},
			Load: unwanted(t),
		})
		synctest.Wait()
		second := start(t.Context(), &g, "k", unwanted(t))
		synctest.Wait()
		close(release)
		synctest.Wait()
		if !first.exited || !first.returned {
			t.Errorf("the first caller got %d, %v, want its goroutine to end", first.value, first.err)
		}
		second.mustBe(t, 0, loader.ErrGoexit)
		next := start(t.Context(), &g, "k", value(2))
		synctest.Wait()
		next.mustBe(t, 2, nil)
	})
}

func TestQuickCanBeDoomed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		first := startWork(t.Context(), &g, "k", work{
			Quick: func(_ context.Context, f *flight) (int, error, bool) {
				<-release
				if f.Publish(func() {}) {
					t.Error("a doomed Quick published")
				}
				return 1, nil, true
			},
			Load: unwanted(t),
		})
		synctest.Wait()
		g.Doom("k")
		next := start(t.Context(), &g, "k", value(2))
		synctest.Wait()
		next.mustBe(t, 2, nil)
		close(release)
		synctest.Wait()
		first.mustBe(t, 1, nil)
	})
}

func TestQuickThatDeliversLetsTheLoadGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		end := make(chan struct{})
		loaded := false
		c := startWork(t.Context(), &g, "k", work{
			Quick: func(_ context.Context, f *flight) (int, error, bool) {
				f.Deliver(1, nil)
				return 0, nil, false
			},
			Load: func(ctx context.Context, f *flight) (int, error) {
				<-end
				loaded = ctx.Err() == nil && f.Publish(func() {})
				return 2, nil
			},
		})
		synctest.Wait()
		c.mustBe(t, 1, nil)
		close(end)
		synctest.Wait()
		if !loaded {
			t.Error("the flight was ended with its delivery")
		}
	})
}
