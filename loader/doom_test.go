package loader_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestDoomedFlightKeepsItsResultToItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		l := func(ctx context.Context, f *flight) (int, error) {
			<-release
			if ctx.Err() != nil {
				t.Error("Doom cancelled the load that callers wait for")
			}
			if f.Publish(func() { t.Error("store was called") }) {
				t.Error("a doomed flight said that it published")
			}
			return 1, nil
		}
		present := []*outcome{start(t.Context(), &g, "k", l), start(t.Context(), &g, "k", l)}
		synctest.Wait()
		g.Doom("k")
		g.Doom("k") // finds none, or the one that follows

		next := make(chan struct{})
		stored := 0
		later := start(t.Context(), &g, "k", func(_ context.Context, f *flight) (int, error) {
			<-next
			f.Publish(func() { stored = 2 })
			return 2, nil
		})
		synctest.Wait()
		close(release)
		synctest.Wait()
		for _, c := range present {
			c.mustBe(t, 1, nil)
		}
		later.mustWait(t)
		// The end of the doomed flight left the later one in its place.
		joins := start(t.Context(), &g, "k", unwanted(t))
		synctest.Wait()
		close(next)
		synctest.Wait()
		later.mustBe(t, 2, nil)
		joins.mustBe(t, 2, nil)
		if stored != 2 {
			t.Error("the flight after a doomed one did not publish")
		}
	})
}

func TestDoomLeavesOtherKeysAndFlightsToComeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		g.Doom("k") // there is none yet
		release := make(chan struct{})
		c := start(t.Context(), &g, "k", func(_ context.Context, f *flight) (int, error) {
			<-release
			if !f.Publish(func() {}) {
				t.Error("the flight is doomed")
			}
			return 1, nil
		})
		synctest.Wait()
		g.Doom("another")
		close(release)
		synctest.Wait()
		c.mustBe(t, 1, nil)
	})
}

func TestLastCallerOfADoomedFlightStillCancelsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		ctx, cancel := context.WithCancel(t.Context())
		over := false
		start(ctx, &g, "k", func(ctx context.Context, _ *flight) (int, error) {
			<-ctx.Done()
			over = true
			return 0, nil
		})
		synctest.Wait()
		g.Doom("k")
		release := make(chan struct{})
		next := start(t.Context(), &g, "k", func(context.Context, *flight) (int, error) {
			<-release
			return 2, nil
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !over {
			t.Error("the load goes on after its last caller left")
		}
		joins := start(t.Context(), &g, "k", unwanted(t)) // the later flight is still there
		synctest.Wait()
		close(release)
		synctest.Wait()
		next.mustBe(t, 2, nil)
		joins.mustBe(t, 2, nil)
	})
}

// yield lets other goroutines run until stop says that they did what must not
// happen, or long enough that they would have.
func yield(stop func() bool) {
	for range 20_000 {
		if stop() {
			return
		}
		runtime.Gosched()
	}
}

// A goroutine that waits for a mutex keeps a bubble from coming to rest: hence
// no bubble in what follows.
//
// Two Dooms come while store runs. Neither may return before it has, the second
// one no more than the first: it would, if the first took the flight out of the
// group in one step and doomed it in another.
func TestEveryDoomDuringAPublishWaitsForIt(t *testing.T) {
	for range 20 {
		var g group
		var stored bool // not atomic: Doom must order it
		var returned atomic.Int64
		var dooms sync.WaitGroup
		doom := func() {
			g.Doom("k")
			returned.Add(1)
			if !stored {
				t.Error("Doom returned while store ran")
			}
		}
		_, err := g.Do(t.Context(), "k", work{Load: func(_ context.Context, f *flight) (int, error) {
			if !f.Publish(func() {
				for range 2 {
					dooms.Go(doom)
					yield(func() bool { return returned.Load() > 0 })
				}
				stored = true
			}) {
				t.Error("the flight was doomed before it published")
			}
			dooms.Wait()
			if f.Publish(func() {}) {
				t.Error("the flight published after it was doomed")
			}
			return 1, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Two writers commit, doom and drop the copy, while readers load and publish. No
// copy that is older than a writer's commit may be there after that writer's
// drop.
func TestNoCopyOlderThanADoomIsThereAfterIt(t *testing.T) {
	for range 300 {
		var g group
		var source atomic.Int64
		var mu sync.Mutex // guards held
		held := int64(-1)
		look := func() int64 {
			mu.Lock()
			defer mu.Unlock()
			return held
		}
		drop := func() {
			mu.Lock()
			defer mu.Unlock()
			held = -1
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range 20 {
					_, _ = g.Do(context.Background(), "k", work{Load: func(_ context.Context, f *flight) (int, error) {
						v := source.Load()
						runtime.Gosched()
						f.Publish(func() {
							mu.Lock()
							defer mu.Unlock()
							held = v
						})
						return int(v), nil
					}})
				}
			})
			wg.Go(func() {
				for range 20 {
					committed := source.Add(1)
					g.Doom("k")
					drop()
					for range 3 {
						if v := look(); v >= 0 && v < committed {
							t.Errorf("a copy of version %d is there after version %d was committed and doomed", v, committed)
							return
						}
						runtime.Gosched()
					}
				}
			})
		}
		wg.Wait()
	}
}
