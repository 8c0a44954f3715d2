package redis_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/loader"
	"github.com/nearside-go/nearside/redis"
)

// crowd has callers wait for one load of "k". What it returns lets the load go on to
// its end, and wants every caller to be told of it, in the words of told.
func crowd(t *testing.T, c *cache.Cache[string, string], end func(), want string) (letGo func()) {
	t.Helper()
	const callers = 10
	started, let := make(chan struct{}, callers), make(chan struct{})
	got := make(chan string, callers)
	for range callers {
		go func() {
			got <- told(func() error {
				_, err := c.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
					started <- struct{}{}
					select {
					case <-let:
					case <-t.Context().Done(): // the test has failed
					}
					end()
					return "", nil
				})
				return err
			})
		}()
	}
	<-started
	joined(t, callers)
	return func() {
		t.Helper()
		close(let)
		for range callers {
			select {
			case got := <-got:
				if got != want {
					t.Errorf("a caller was told %q, want %q", got, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("a caller is left hanging")
			}
		}
	}
}

// told is what a call comes to: the value of a load's panic, or an error.
func told(call func() error) (what string) {
	defer func() {
		if p, ok := recover().(*loader.Panic); ok {
			what = fmt.Sprint("panic: ", p.Value)
		}
	}()
	return fmt.Sprint(call())
}

func TestALoadThatDoesNotReturnLeavesNoLease(t *testing.T) {
	for name, load := range map[string]struct {
		end  func()
		want string
	}{
		"panic":  {func() { panic("boom") }, "panic: boom"},
		"Goexit": {runtime.Goexit, loader.ErrGoexit.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			o := cache.Options[string, string]{WaitTimeout: 20 * time.Second}
			a := join(t, server, redis.Options{LeaseTTL: time.Minute}, o)
			b := join(t, server, redis.Options{}, o)
			letGo := crowd(t, a, load.end, load.want)
			if server.Client().Exists(t.Context(), record(t, "k")).Val() != 1 {
				t.Fatal("there is no lease")
			}
			letGo()
			if server.Client().Exists(t.Context(), record(t, "k")).Val() != 0 {
				t.Fatal("the lease stands")
			}
			wantLoad(t, a, "k", "next")
			if err := a.Invalidate(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}

			letGo = crowd(t, a, load.end, load.want)
			another := start(t, b, yields[string]("another's"))
			waitsFor(t, b)
			letGo()
			if got := wantCall(t, another, "another's"); got.took > o.WaitTimeout/2 {
				t.Errorf("another instance waited %v", got.took)
			}
			wantGet(t, a, "k", "another's")
		})
	}
}
