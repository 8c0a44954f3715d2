package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
)

// loadLate starts a GetOrLoad whose loader has read the source when it returns,
// and which ends when finish is called. finish returns what the caller got.
func loadLate(t *testing.T, c getter, src *source) (finish func() string) {
	t.Helper()
	load, read, end := src.gated()
	got := make(chan string, 1)
	go func() {
		v, err := c.GetOrLoad(t.Context(), "k", load)
		if err != nil {
			t.Errorf("GetOrLoad: %v", err)
		}
		got <- v
	}()
	<-read
	return func() string {
		close(end)
		return <-got
	}
}

// TestInvalidateDuringLoad is the stale fill: the load reads the source before
// the write and ends after the Invalidate.
func TestInvalidateDuringLoad(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		var src source
		finish := loadLate(t, c, &src)
		src.write()
		invalidate(t, c, "k")

		// Who comes after the Invalidate starts a load of its own.
		later := loadLate(t, c, &src)
		if v := finish(); v != "v0" {
			t.Fatalf("the waiter got %q", v)
		}
		wantMiss(t, c, "k") // and not v0
		if v := later(); v != "v1" {
			t.Fatalf("the later caller got %q", v)
		}
		wantLoad(t, c, "k", loading(t), "v1")
		if s := c.Stats(); s.RefusedFills+s.DoomedFills != 1 {
			t.Fatalf("stats: %+v", s)
		}
	})
}

func TestOtherInstanceInvalidatesDuringLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		var src source
		finish := loadLate(t, a, &src)
		src.write()
		invalidate(t, b, "k")
		wantLoad(t, b, "k", src.load, "v1")
		if v := finish(); v != "v0" {
			t.Fatalf("the waiter got %q", v)
		}
		synctest.Wait() // the fill
		if rec := s.Record(remoteKey("k")); string(rec.Payload) != `"v1"` {
			t.Fatalf("the remote tier holds %q", rec.Payload)
		}
		wantGet(t, a, "k", "v1")
		if st := a.Stats(); st.RefusedFills != 1 {
			t.Fatalf("stats: %+v", st)
		}
	})
}

func TestThreeInstancesOneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		c := newInstance(t, s)
		var src source
		finish := loadLate(t, a, &src)
		for _, other := range []*instance{b, c} {
			go func() { wantAnswer(t, other, "k", loading(t), "v0") }()
		}
		time.Sleep(2 * time.Second)
		finish()
		synctest.Wait()
		if a.Stats().Loads != 1 || b.Stats().LeaseWaits != 1 || b.Stats().RemoteHits != 1 {
			t.Fatalf("stats: %+v, %+v", a.Stats(), b.Stats())
		}
	})
}

func TestDeadHoldersLeaseIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		var src source
		finish := loadLate(t, a, &src)
		a.remote.Crash()
		start := time.Now()
		src.write()
		wantLoad(t, b, "k", src.load, "v1")
		if took := time.Since(start); took > 3*time.Second {
			t.Fatalf("the take-over took %v", took)
		}
		finish() // the late holder, back from the dead
		wantGet(t, b, "k", "v1")
		wantGet(t, a, "k", "v1")
	})
}

func TestWaitBoundReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, _ := pair(t)
		o := options(s.Remote())
		o.WaitTimeout = time.Second
		impatient := newCache(t, o)
		var src source
		finish := loadLate(t, a, &src)
		start := time.Now()
		wantLoad(t, impatient, "k", constant("own"), "own")
		if took := time.Since(start); took != time.Second {
			t.Fatalf("the wait took %v", took)
		}
		if s.Record(remoteKey("k")).State != remote.StateLease {
			t.Fatal("the lease is not the winner's any more")
		}
		finish()
		wantLoad(t, impatient, "k", loading(t), "v0")
	})
}

func TestTombstoneKeepsLoadsOutOfBothTiers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		s.Tombstone(remoteKey("k"), time.Minute)
		wantLoad(t, a, "k", constant("1"), "1")
		wantLoad(t, a, "k", constant("2"), "2")
		if err := a.Set(t.Context(), "k", "3"); err != nil {
			t.Fatal(err)
		}
		wantMiss(t, a, "k")
		if st := a.Stats(); st.RefusedFills != 2 || st.LocalEntries != 0 {
			t.Fatalf("stats: %+v", st)
		}
		time.Sleep(time.Minute)
		wantLoad(t, b, "k", constant("4"), "4")
		wantGet(t, a, "k", "4")
	})
}

func TestInvalidateIgnoresTheEndOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		wantLoad(t, a, "k", constant("old"), "old")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Invalidate(ctx, "k"); err != nil {
			t.Fatal(err)
		}
		wantMiss(t, b, "k")
	})
}
