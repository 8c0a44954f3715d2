package loader_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nearside-go/nearside/loader"
)

//go:noinline
func readFromABrokenSource(v any) int { panic(v) }

func TestPanicReachesEveryCallerInItsOwnGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		var callers []*outcome
		for range 20 {
			callers = append(callers, start(t.Context(), &g, "k", func(context.Context, *flight) (int, error) {
				<-release
				return readFromABrokenSource("boom"), nil
			}))
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		for _, c := range callers {
			p, ok := c.panicked.(*loader.Panic)
			if !ok {
				t.Fatalf("a caller panicked with %#v, want a *loader.Panic", c.panicked)
			}
			if p.Value != "boom" {
				t.Errorf("the panic's value is %v, want boom", p.Value)
			}
			if !strings.Contains(string(p.Stack), "readFromABrokenSource") {
				t.Errorf("the stack does not name the function that panicked:\n%s", p.Stack)
			}
			for _, part := range []string{"loader: ", "boom", "readFromABrokenSource"} {
				if !strings.Contains(p.Error(), part) {
					t.Errorf("Error lacks %q:\n%s", part, p.Error())
				}
			}
			if p.Unwrap() != nil {
				t.Errorf("Unwrap of a panic with a string is %v", p.Unwrap())
			}
		}
		next := start(t.Context(), &g, "k", value(2))
		synctest.Wait()
		next.mustBe(t, 2, nil)
		g.Wait()
	})
}

func TestPanicWithAnErrorUnwrapsToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		cause := fmt.Errorf("reading: %w", io.ErrUnexpectedEOF)
		values := map[any]error{cause: io.ErrUnexpectedEOF, nil: new(runtime.PanicNilError)}
		for v, want := range values {
			c := start(t.Context(), &g, "k", func(context.Context, *flight) (int, error) {
				return readFromABrokenSource(v), nil
			})
			synctest.Wait()
			err, ok := c.panicked.(error)
			if !ok {
				t.Fatalf("the caller panicked with %#v, want an error", c.panicked)
			}
			var nilPanic *runtime.PanicNilError
			if v == nil && !errors.As(err, &nilPanic) || v != nil && !errors.Is(err, want) {
				t.Errorf("the panic with %v does not unwrap to %v:\n%v", v, want, err)
			}
		}
	})
}

func TestCallerWhoLeftBeforeThePanicHasItsContextsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		ctx, cancel := context.WithCancel(t.Context())
		left := start(ctx, &g, "k", func(ctx context.Context, _ *flight) (int, error) {
			<-ctx.Done()
			panic("boom")
		})
		synctest.Wait()
		cancel()
		g.Wait()
		synctest.Wait()
		left.mustBe(t, 0, context.Canceled)
	})
}

func TestGoexitGivesEveryCallerAnErrorAndTheNextCallLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		var callers []*outcome
		for range 5 {
			callers = append(callers, start(t.Context(), &g, "k", func(context.Context, *flight) (int, error) {
				<-release
				runtime.Goexit()
				return 1, nil
			}))
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		for _, c := range callers {
			c.mustBe(t, 0, loader.ErrGoexit)
		}
		next := start(t.Context(), &g, "k", value(2))
		synctest.Wait()
		next.mustBe(t, 2, nil)
		g.Wait()
	})
}
