package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
)

// An instance that starts in the middle of an Invalidate is not told of the entry, if that is
// appended already. So the record must be gone by then:
//
//  1. The entry is appended.
//  2. An instance starts behind the entry, reads the old value, and keeps a copy.
//  3. The record is deleted.
func TestAnInstanceThatStartsDuringAnInvalidateKeepsNothingOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		a, b := newInstance(t, s), newInstance(t, s)
		wantLoad(t, b, "k", constant("old"), "old")
		const step = 10 * time.Millisecond
		a.remote.Inject(func(op string) (f cachetest.Fault) {
			if op == "delete" || op == "append" {
				f.Delay = step
			}
			return f
		})
		invalidated := make(chan error, 1)
		go func() { invalidated <- a.Invalidate(t.Context(), "k") }()
		time.Sleep(step + step/2) // between the two
		late := newInstance(t, s)
		_, _ = late.Get(t.Context(), "k")
		if err := <-invalidated; err != nil {
			t.Fatal(err)
		}
		deliver(step)
		for _, i := range []*instance{late, a, b} {
			wantMiss(t, i, "k")
		}
	})
}
