package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

// An Invalidate that deletes the key and is slow to return says nothing about one
// that began later and failed.
func TestLateSuccessDoesNotTakeBackANewerDistrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		a.remote.Inject(held("delete", 20*time.Millisecond))
		first := make(chan error, 1)
		go func() { first <- a.Invalidate(t.Context(), "k", "other") }()
		synctest.Wait() // it has deleted
		wantLoad(t, b, "k", constant("old"), "old")

		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		if err := a.Invalidate(t.Context(), "k"); err == nil {
			t.Fatal("the second Invalidate: no error")
		}
		if err := <-first; err != nil {
			t.Fatalf("the first Invalidate: %v", err)
		}
		if rec := s.Record(remoteKey("k")); rec.State != remote.StateValue {
			t.Fatalf("the record: %v", rec.State)
		}
		wantMiss(t, a, "k")
		if n := a.Stats().Unconfirmed; n != 1 {
			t.Fatalf("%d keys are distrusted", n)
		}

		a.remote.Inject(nil)
		invalidate(t, a, "k")
		deliver(0)
		wantLoad(t, b, "other", constant("v"), "v")
		wantGet(t, a, "other", "v")
		if n := a.Stats().Unconfirmed; n != 0 {
			t.Fatalf("%d keys are distrusted", n)
		}
	})
}
