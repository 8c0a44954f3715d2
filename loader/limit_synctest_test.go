package loader_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/loader"
)

// gauge counts loads side by side and the most there ever were.
type gauge struct {
	mu        sync.Mutex // guards all below
	now, most int
	calls     int
}

func (g *gauge) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	g.now++
	g.most = max(g.most, g.now)
}

func (g *gauge) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now--
}

// mustAdmit checks that l has exactly n places, all of them free.
func mustAdmit(t *testing.T, l *loader.Limit, n int) {
	t.Helper()
	var g gauge
	release := make(chan struct{})
	for range n + 1 {
		go func() {
			err := l.Run(context.WithoutCancel(t.Context()), func(context.Context) {
				g.enter()
				<-release
				g.leave()
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	synctest.Wait()
	if g.calls != n {
		t.Errorf("%d of %d calls run side by side, want %d", g.calls, n+1, n)
	}
	close(release)
	synctest.Wait()
	if g.calls != n+1 {
		t.Errorf("%d calls ran in the end, want %d", g.calls, n+1)
	}
}

func TestNeverMoreThanTheLimitRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, loads = 3, 50
		l := loader.NewLimit(n)
		var g gauge
		began := time.Now()
		var wg sync.WaitGroup
		for range loads {
			wg.Go(func() {
				err := l.Run(t.Context(), func(context.Context) {
					g.enter()
					defer g.leave()
					time.Sleep(time.Second)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if g.most != n || g.calls != loads {
			t.Errorf("%d loads ran, %d side by side, want %d and %d", g.calls, g.most, loads, n)
		}
		if took, want := time.Since(began), 17*time.Second; took != want {
			t.Errorf("%d loads of 1s, %d at a time, took %v, want %v", loads, n, took, want)
		}
	})
}

func TestCallersAreServedInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := loader.NewLimit(1)
		var order, want []int
		for i := range 20 {
			go func() {
				_ = l.Run(context.WithoutCancel(t.Context()), func(context.Context) {
					order = append(order, i)
					time.Sleep(time.Second)
				})
			}()
			synctest.Wait()
			want = append(want, i)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(order, want) {
			t.Errorf("served in the order %v", order)
		}
	})
}

func TestContextThatEndsWhileWaitingReturnsItsErrorWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := loader.NewLimit(1)
		release := make(chan struct{})
		go func() { _ = l.Run(context.Background(), func(context.Context) { <-release }) }()
		synctest.Wait()
		uncalled := func(context.Context) { t.Error("the load was called") }

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := l.Run(ctx, uncalled); err != context.DeadlineExceeded {
			t.Errorf("Run = %v, want %v", err, context.DeadlineExceeded)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("Run returned after %v, the deadline was 1s", took)
		}

		ctx, cancelCause := context.WithCancelCause(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancelCause(errors.New("a cause"))
		}()
		if err := l.Run(ctx, uncalled); err != context.Canceled {
			t.Errorf("Run = %v, want %v", err, context.Canceled)
		}

		close(release)
		synctest.Wait()
		if err := l.Run(ctx, uncalled); err != context.Canceled { // places are free now
			t.Errorf("Run with an ended context = %v, want %v", err, context.Canceled)
		}
		mustAdmit(t, l, 1) // who left took no place along
	})
}

// Every place is taken by a load that loads, and each of these loads once more.
// In a bubble a deadlock fails the test.
func TestNestedRunNeedsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 4
		l := loader.NewLimit(n)
		var all, done sync.WaitGroup
		all.Add(n)
		var g gauge
		for range n {
			done.Go(func() {
				_ = l.Run(t.Context(), func(ctx context.Context) {
					all.Done()
					all.Wait()
					err := l.Run(context.WithoutCancel(ctx), func(ctx context.Context) {
						if err := l.Run(ctx, func(context.Context) { g.enter() }); err != nil {
							t.Error(err)
						}
					})
					if err != nil {
						t.Error(err)
					}
				})
			})
		}
		done.Wait()
		if g.calls != n {
			t.Errorf("%d nested loads ran, want %d", g.calls, n)
		}
		mustAdmit(t, l, n) // and gave back no place that it had not taken
	})
}

func TestNestedRunOfAnotherLimitTakesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, inner := loader.NewLimit(2), loader.NewLimit(1)
		var g gauge
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				_ = outer.Run(t.Context(), func(ctx context.Context) {
					_ = inner.Run(ctx, func(context.Context) {
						g.enter()
						defer g.leave()
						time.Sleep(time.Second)
					})
				})
			})
		}
		wg.Wait()
		if g.calls != 2 || g.most != 1 {
			t.Errorf("%d loads within the inner limit of 1, %d side by side", g.calls, g.most)
		}
	})
}

func TestLoadThatDoesNotReturnGivesItsPlaceBack(t *testing.T) {
	ends := map[string]func(){
		"panic":  func() { panic("boom") },
		"Goexit": runtime.Goexit,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := loader.NewLimit(2)
				for range 3 {
					go func() {
						defer func() {
							if p := recover(); name == "panic" && p != "boom" {
								t.Errorf("recovered %v, want the load's own panic", p)
							}
						}()
						_ = l.Run(context.Background(), func(context.Context) { end() })
					}()
				}
				synctest.Wait()
				mustAdmit(t, l, 2)
			})
		})
	}
}

func TestNewLimitPanicsUnlessPositive(t *testing.T) {
	for _, n := range []int{0, -1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewLimit(%d) did not panic", n)
				}
			}()
			loader.NewLimit(n)
		}()
	}
}

func TestTryTakesAPlaceThatIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := loader.NewLimit(2)
		first, second := l.Try(t.Context()), l.Try(t.Context())
		if first == nil || second == nil || l.Try(t.Context()) != nil {
			t.Fatal("of three, two have a place")
		}
		first.Leave()
		if err := second.Run(t.Context(), func(ctx context.Context) {
			within := l.Try(ctx)
			if within == nil {
				t.Fatal("a load within a load has no place")
			}
			last := l.Try(t.Context())
			if last == nil || l.Try(t.Context()) != nil {
				t.Error("the place of a load within a load is not free")
			}
			last.Leave()
			within.Leave()
		}); err != nil {
			t.Error(err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = l.Try(t.Context()).Run(t.Context(), func(context.Context) { panic("load") })
		}()
		mustAdmit(t, l, 2)
	})
}

// A load that outlives the load that it was started in takes a place of its own.
func TestOutside(t *testing.T) {
	l := loader.NewLimit(1)
	err := l.Run(t.Context(), func(ctx context.Context) {
		if l.Try(ctx) == nil {
			t.Error("a load within a load needs a place")
		}
		if l.Try(l.Outside(ctx)) != nil {
			t.Error("a load outside of the load that started it needs no place")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
