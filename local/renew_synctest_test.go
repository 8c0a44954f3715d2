package local_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/local"
)

// dueTo returns how many of n concurrent Lookups were told that the entry is due.
func dueTo(t *testing.T, s *local.Store[string, int], n int) int64 {
	t.Helper()
	var told, missed atomic.Int64
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			_, due, ok := s.Lookup("k")
			if due {
				told.Add(1)
			}
			if !ok {
				missed.Add(1)
			}
		})
	}
	wg.Wait()
	if missed.Load() > 0 {
		t.Fatalf("%d of %d Lookups missed", missed.Load(), n)
	}
	return told.Load()
}

func TestOneCallerInEachPeriodIsToldToRenew(t *testing.T) {
	const in, every = 700 * time.Millisecond, 2 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		start := time.Now()
		s.Add("k", 1, 1, local.Lifetime{TTL: time.Hour, Slides: true, RenewEvery: every, RenewIn: in})
		if n := dueTo(t, s, 10); n != 0 {
			t.Fatalf("%d callers were told before RenewIn", n)
		}
		due := in
		for period := range 5 {
			// A read far from the entry's end may be up to one tick behind.
			sleepUntil(start, due-early-1)
			if n := dueTo(t, s, 100); n != 0 {
				t.Fatalf("period %d: %d callers were told too early", period, n)
			}
			sleepUntil(start, due+early+1)
			if n := dueTo(t, s, 100); n != 1 {
				t.Fatalf("period %d: %d callers were told, want 1", period, n)
			}
			told := time.Since(start)
			sleepUntil(start, told+every/2)
			if n := dueTo(t, s, 100); n != 0 {
				t.Fatalf("period %d: %d more callers were told in its middle", period, n)
			}
			due = told + every
		}
	})
}

func TestPeriodsThatNobodyReadInAreNotMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		s.Add("k", 1, 1, local.Lifetime{TTL: time.Hour, RenewEvery: time.Second, RenewIn: time.Second})
		time.Sleep(10*time.Second + early)
		if n := dueTo(t, s, 50); n != 1 {
			t.Errorf("%d callers were told after ten periods without a read, want 1", n)
		}
	})
}

func TestRenewalOfAShortEntryIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		s.Get("starts the ticks")
		time.Sleep(3 * time.Millisecond)
		s.Add("k", 1, 1, local.Lifetime{TTL: 200 * time.Millisecond, Slides: true,
			RenewEvery: 40 * time.Millisecond, RenewIn: 25 * time.Millisecond})
		time.Sleep(25*time.Millisecond - 1)
		for period := range 5 {
			if n := dueTo(t, s, 1); n != 0 {
				t.Fatalf("period %d: due 1 ns too early", period)
			}
			time.Sleep(time.Nanosecond)
			if n := dueTo(t, s, 5); n != 1 {
				t.Fatalf("period %d: %d callers were told, want 1", period, n)
			}
			time.Sleep(40*time.Millisecond - 1)
		}
	})
}

func TestRenewInZeroIsDueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		time.Sleep(3 * time.Millisecond)
		s.Add("k", 1, 1, local.Lifetime{TTL: time.Hour, RenewEvery: time.Second})
		if n := dueTo(t, s, 50); n != 1 {
			t.Errorf("%d callers were told, want 1", n)
		}
	})
}

func TestWithoutRenewEveryNobodyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		s.Add("k", 1, 1, local.Lifetime{TTL: time.Hour, RenewIn: time.Second})
		for range 10 {
			if n := dueTo(t, s, 10); n != 0 {
				t.Fatalf("%d callers were told", n)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestExpiredEntryIsNeverDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		s.Add("k", 1, 1, local.Lifetime{TTL: time.Second, RenewEvery: time.Minute, RenewIn: time.Second})
		time.Sleep(time.Second)
		if _, due, ok := s.Lookup("k"); due || ok {
			t.Errorf("Lookup of an expired entry: due %v, ok %v", due, ok)
		}
	})
}
