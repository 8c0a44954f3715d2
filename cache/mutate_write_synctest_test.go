package cache_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

func TestWriteFails(t *testing.T) {
	failed := errors.New("constraint violated")
	for name, fault := range map[string]func(string) cachetest.Fault{
		"remote up": nil, "remote down": down, "deletes fail": on("delete", cachetest.Fault{Err: errDown}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, b := pair(t)
				var src source
				wantLoad(t, a, "k", src.load, "v0")
				wantLoad(t, a, "other", src.load, "v0")
				a.remote.Inject(fault)
				if err := mutateLate(t, a)(failed); err != failed {
					t.Fatalf("Mutate: %v, want the error of the write, unchanged", err)
				}
				a.remote.Inject(nil)
				synctest.Wait()
				src.write() // it may have committed all the same
				wantLoad(t, a, "k", src.load, "v1")
				wantLoad(t, a, "other", loading(t), "v0")
				if name == "remote up" {
					wantGet(t, b, "k", "v1")
					wantGet(t, newInstance(t, s), "k", "v1")
				}
			})
		})
	}
}

func TestWriteEndsItsGoroutine(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic(errDown) }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
				c := newCache(t, o)
				wantLoad(t, c, "k", constant("old"), "old")
				recovered := make(chan any, 1)
				go func() {
					defer func() { recovered <- recover() }()
					_ = c.Mutate(t.Context(), []string{"k"}, func(ctx) error { end(); return nil })
				}()
				if p := <-recovered; name == "panic" && p != errDown {
					t.Errorf("recovered %v, want what the write panicked with", p)
				}
				wantMiss(t, c, "k")
				wantLoad(t, c, "k", constant("new"), "new")
				wantLoad(t, c, "k", loading(t), "new")
				if st := c.Stats(); st.Fills != 2 {
					t.Errorf("stats: %+v", st)
				}
			})
		})
	}
}

func TestMutateOfNothing(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		written := false
		write := func(ctx) error { written = true; return nil }
		for _, keys := range [][]string{nil, {}} {
			if err := c.Mutate(t.Context(), keys, write); err == nil || written {
				t.Errorf("Mutate of no keys: %v, written: %v", err, written)
			}
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("Mutate without a write does not panic")
				}
			}()
			_ = c.Mutate(t.Context(), []string{"k"}, nil)
		}()
		_ = c.Close()
		if err := c.Mutate(t.Context(), []string{"k"}, write); err != cache.ErrClosed || written {
			t.Errorf("Mutate after Close: %v, written: %v", err, written)
		}
	})
}

// The write ends before the tombstone does, however long that takes to get there.
func TestContextOfTheWrite(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.MutateTimeout = time.Second
		if r, ok := o.Remote.(*cachetest.Remote); ok {
			r.Inject(on("guard", cachetest.Fault{Delay: 40 * time.Millisecond}))
		}
		c := newCache(t, o)
		type name struct{}
		parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), name{}, "value"))
		start := time.Now()
		err := c.Mutate(parent, []string{"k"}, func(c ctx) error {
			if deadline, ok := c.Deadline(); !ok || deadline.Sub(start) != time.Second {
				t.Errorf("the deadline is %v after the call", deadline.Sub(start))
			}
			if c.Value(name{}) != "value" {
				t.Error("the context lacks the values of the caller's")
			}
			<-c.Done()
			return c.Err()
		})
		if err != context.DeadlineExceeded || time.Since(start) != time.Second {
			t.Errorf("Mutate: %v after %v", err, time.Since(start))
		}
		cancel(nil)
		err = c.Mutate(parent, []string{"k"}, func(c ctx) error { return c.Err() })
		if err != context.Canceled {
			t.Errorf("Mutate with an ended context: %v", err)
		}
		wantLoad(t, c, "k", constant("new"), "new")
		wantLoad(t, c, "k", loading(t), "new")
	})
}
