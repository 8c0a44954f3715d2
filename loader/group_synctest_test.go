package loader_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/loader"
)

type (
	group  = loader.Group[string, int]
	flight = loader.Flight[int]
	work   = loader.Work[int]
	load   = func(context.Context, *flight) (int, error)
)

// outcome is what one caller of Do got. Read it after synctest.Wait, when
// returned says whether the caller has anything yet.
type outcome struct {
	value    int
	err      error
	panicked any
	exited   bool // the call ended the caller's goroutine
	returned bool
	took     time.Duration
}

// start calls Do on a goroutine of its own, as each real caller does.
func start(ctx context.Context, g *group, key string, l load) *outcome {
	return startWork(ctx, g, key, work{Load: l})
}

// startPatient is start for a caller that waits for a flight that goes on.
func startPatient(ctx context.Context, g *group, key string, l load, patience time.Duration) *outcome {
	return startWork(ctx, g, key, work{Load: l, Patience: patience})
}

func startWork(ctx context.Context, g *group, key string, w work) *outcome {
	return startCall(func() (int, error) { return g.Do(ctx, key, w) })
}

func startCall(call func() (int, error)) *outcome {
	o := &outcome{exited: true}
	began := time.Now()
	go func() {
		defer func() {
			if p := recover(); p != nil {
				o.panicked, o.exited = p, false
			}
			o.returned = true
			o.took = time.Since(began)
		}()
		o.value, o.err = call()
		o.exited = false
	}()
	return o
}

func (o *outcome) mustBe(t *testing.T, value int, err error) {
	t.Helper()
	if !o.returned {
		t.Fatalf("the caller still waits, want %d, %v", value, err)
	}
	if o.value != value || o.err != err || o.panicked != nil || o.exited {
		t.Fatalf("the caller got %d, %v (panic %v, exit %v), want %d, %v",
			o.value, o.err, o.panicked, o.exited, value, err)
	}
}

func (o *outcome) mustWait(t *testing.T) {
	t.Helper()
	if o.returned {
		t.Fatalf("the caller got %d, %v (panic %v), want it to wait", o.value, o.err, o.panicked)
	}
}

// value is a load that returns v at once.
func value(v int) load { return func(context.Context, *flight) (int, error) { return v, nil } }

// unwanted is a load that must not run.
func unwanted(t *testing.T) load {
	return func(context.Context, *flight) (int, error) {
		t.Error("a second load ran")
		return -1, nil
	}
}

func TestThousandCallersShareOneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		var loads atomic.Int64
		release := make(chan struct{})
		callers := make([]*outcome, 1000)
		for i := range callers {
			callers[i] = start(t.Context(), &g, "k", func(context.Context, *flight) (int, error) {
				<-release
				return int(loads.Add(1)), nil
			})
		}
		synctest.Wait()
		for _, c := range callers {
			c.mustWait(t)
		}
		close(release)
		synctest.Wait()
		for _, c := range callers {
			c.mustBe(t, 1, nil)
		}
		if n := loads.Load(); n != 1 {
			t.Errorf("%d loads ran, want 1", n)
		}
	})
}

func TestKeysDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		release := make(chan struct{})
		slow := start(t.Context(), &g, "slow", func(context.Context, *flight) (int, error) {
			<-release
			return 1, nil
		})
		synctest.Wait()
		quick := start(t.Context(), &g, "quick", value(2))
		synctest.Wait()
		quick.mustBe(t, 2, nil)
		slow.mustWait(t)
		close(release)
		synctest.Wait()
		slow.mustBe(t, 1, nil)
	})
}

func TestCallerAfterTheLoadStartsAnother(t *testing.T) {
	var g group
	for want := range 3 {
		if got, err := g.Do(t.Context(), "k", work{Load: value(want)}); got != want || err != nil {
			t.Fatalf("Do = %d, %v, want %d", got, err, want)
		}
	}
}

func TestErrorIsSharedUnchangedByThosePresentOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		failure := fmt.Errorf("wrapped: %w", errors.New("source"))
		release := make(chan struct{})
		failing := func(context.Context, *flight) (int, error) {
			<-release
			return 7, failure
		}
		var present []*outcome
		for range 10 {
			present = append(present, start(t.Context(), &g, "k", failing))
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		for _, c := range present {
			c.mustBe(t, 7, failure)
		}
		later := start(t.Context(), &g, "k", value(8))
		synctest.Wait()
		later.mustBe(t, 8, nil)
	})
}

// Whoever has a failed load's result and asks again must not get it again.
func TestCallerWhoAsksAgainNeverInheritsTheRunItHad(t *testing.T) {
	var g group
	var loads atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := 0
			for range 5000 {
				run, _ := g.Do(context.Background(), "k", work{Load: func(context.Context, *flight) (int, error) {
					return int(loads.Add(1)), nil
				}})
				if run <= last {
					t.Errorf("the result of run %d came after that of run %d", run, last)
					return
				}
				last = run
			}
		})
	}
	wg.Wait()
}

func TestWaitReturnsWhenNoLoadRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		g.Wait() // nothing runs yet

		abandoned, delivered, plain := make(chan struct{}), make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		start(ctx, &g, "abandoned", func(context.Context, *flight) (int, error) {
			<-abandoned // deaf to its context
			return 0, nil
		})
		start(t.Context(), &g, "delivered", func(_ context.Context, f *flight) (int, error) {
			f.Deliver(1, nil)
			<-delivered
			return 0, nil
		})
		start(t.Context(), &g, "plain", func(context.Context, *flight) (int, error) {
			<-plain
			return 0, nil
		})
		synctest.Wait()
		cancel()
		var over atomic.Bool
		go func() {
			g.Wait()
			over.Store(true)
		}()
		for _, end := range []chan struct{}{plain, abandoned, delivered} {
			synctest.Wait()
			if over.Load() {
				t.Fatal("Wait returned while a load ran")
			}
			close(end)
		}
		synctest.Wait()
		if !over.Load() {
			t.Error("Wait did not return after the last load")
		}
	})
}
