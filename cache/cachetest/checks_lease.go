package cachetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// leaseExcludes: a lease keeps every other caller from a lease, on each instance, until the
// lease is released. A value does so too.
func (s *suite) leaseExcludes() {
	l := s.lease(s.A, "k", nil)
	s.wantState(s.B, "k", remote.StateLease)
	s.wantNoLease(s.B, "k", nil, remote.StateLease)
	s.wantNoLease(s.A, "k", nil, remote.StateLease)
	if held, err := l.Release(s.Context()); err != nil || !held {
		s.Fatalf("Release: held %v, err %v", held, err)
	}
	s.wantState(s.B, "k", remote.StateAbsent)
	s.fillKey(s.B, "k", "v")
	s.wantNoLease(s.A, "k", nil, remote.StateValue)
}

// oneLease: of many callers at a time one gets the lease.
func (s *suite) oneLease() {
	var taken atomic.Int32
	var wg sync.WaitGroup
	for i := range 32 {
		r := []remote.Tier{s.A, s.B}[i%2]
		wg.Go(func() {
			l, _, err := r.Lease(s.Context(), "k", long, nil)
			if err != nil {
				s.Errorf("Lease: %v", err)
			}
			if l != nil {
				taken.Add(1)
				s.Cleanup(func() { _, _ = l.Release(context.WithoutCancel(s.Context())) })
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != 1 {
		s.Fatalf("%d leases were given", n)
	}
}

func (s *suite) wait(r remote.Tier, key string) remote.Record {
	s.Helper()
	rec, err := r.Wait(s.Context(), key)
	if err != nil {
		s.Fatalf("Wait: %v", err)
	}
	return rec
}

// waitForFill: Wait returns the value once the lease is filled, and at once where there is
// no lease.
func (s *suite) waitForFill() {
	l := s.lease(s.A, "k", nil)
	s.after(s.LeaseTTL/4, func(ctx context.Context) {
		if held, err := l.Fill(ctx, fill("v")); err != nil || !held {
			s.Errorf("Fill: held %v, err %v", held, err)
		}
	})
	if rec := s.wait(s.B, "k"); rec.State != remote.StateValue || string(rec.Payload) != "v" {
		s.Fatalf("Wait returned %v, %q", rec.State, rec.Payload)
	}
	if rec := s.wait(s.B, "k"); rec.State != remote.StateValue {
		s.Fatalf("a Wait for a value returned %v", rec.State)
	}
}

// waitForRelease: Wait returns an absent record once the lease is released.
func (s *suite) waitForRelease() {
	l := s.lease(s.A, "k", nil)
	s.after(s.LeaseTTL/4, func(ctx context.Context) {
		if held, err := l.Release(ctx); err != nil || !held {
			s.Errorf("Release: held %v, err %v", held, err)
		}
	})
	if rec := s.wait(s.B, "k"); rec.State != remote.StateAbsent {
		s.Fatalf("Wait returned %v", rec.State)
	}
}

// waitForContext: Wait returns the error of its context, and leaves the lease alone.
func (s *suite) waitForContext() {
	l := s.lease(s.A, "k", nil)
	ctx, cancel := context.WithTimeout(s.Context(), s.LeaseTTL/4)
	defer cancel()
	if _, err := s.B.Wait(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		s.Fatalf("Wait: %v", err)
	}
	s.wantHeld(l, "v", true)
}

// deleteFences: a Fill is refused, and changes nothing, after an Invalidate of its key.
func (s *suite) deleteFences() {
	l := s.lease(s.A, "k", nil)
	s.delete(s.B, "k")
	s.wantHeld(l, "old", false)
	s.wantState(s.B, "k", remote.StateAbsent)
}

// lostLease: the Fill and the Release of a lost lease change nothing, whatever the record
// is. The tokens are checked too: in one round one instance holds both leases, one after
// the other.
func (s *suite) lostLease() {
	for _, next := range []remote.Tier{s.A, s.B} {
		first := s.lease(s.A, "k", nil)
		lost := s.lease(s.A, "other", nil)
		s.delete(s.B, "k", "other")
		second := s.lease(next, "k", nil)
		s.fillKey(next, "other", "new")
		s.wantHeld(first, "old", false)
		s.wantState(s.B, "k", remote.StateLease)
		s.wantHeld(second, "new", true)
		if held, err := lost.Release(s.Context()); err != nil || held {
			s.Fatalf("Release of a lost lease: held %v, err %v", held, err)
		}
		s.wantValue(s.B, "k", "new")
		s.wantValue(s.B, "other", "new")
		s.delete(s.A, "k", "other")
	}
}

// seize: Seize takes the lease whatever the record is. A load that held the lease before
// cannot fill. Under a tombstone Seize takes nothing.
func (s *suite) seize() {
	for _, stands := range []func(){
		func() {},
		func() { s.fillKey(s.B, "k", "old") },
		func() { s.Corrupt("k") },
	} {
		stands()
		s.wantSeized("k", "new")
		s.delete(s.A, "k")
	}
	slow := s.lease(s.B, "k", nil)
	s.wantSeized("k", "new")
	s.wantHeld(slow, "old", false)
	s.wantValue(s.B, "k", "new")
	s.delete(s.A, "k")

	s.Tombstone("k", long)
	if l, err := s.A.Seize(s.Context(), "k", long); l != nil || err != nil {
		s.Fatalf("Seize over a tombstone: %v, %v", l, err)
	}
	s.wantState(s.B, "k", remote.StateTombstone)
}

func (s *suite) wantSeized(key, payload string) {
	s.Helper()
	l, err := s.A.Seize(s.Context(), key, long)
	if err != nil || l == nil {
		s.Fatalf("Seize: %v, %v", l, err)
	}
	s.wantState(s.B, key, remote.StateLease)
	s.wantHeld(l, payload, true)
	s.wantValue(s.B, key, payload)
}

// tombstone: a tombstone refuses fills and leases, and Wait returns the tombstone. The key
// can be filled when the tombstone has ended.
func (s *suite) tombstone() {
	l := s.lease(s.A, "k", nil)
	s.Tombstone("k", s.LeaseTTL)
	rec := s.wantState(s.B, "k", remote.StateTombstone)
	s.wantHeld(l, "old", false)
	s.wantNoLease(s.A, "k", nil, remote.StateTombstone)
	s.wantNoLease(s.A, "k", []byte("another"), remote.StateTombstone)
	if rec := s.wait(s.A, "k"); rec.State != remote.StateTombstone {
		s.Fatalf("Wait returned %v", rec.State)
	}
	if len(rec.Payload) != 0 {
		s.Fatalf("a tombstone has the payload %q", rec.Payload)
	}
	s.Sleep(s.LeaseTTL + s.LeaseTTL/4)
	s.fillKey(s.B, "k", "new")
}

// leaseKept: a lease outlives its TTL while the holder lives.
func (s *suite) leaseKept() {
	s.untilKept(func(key string) bool {
		l := s.lease(s.A, key, nil)
		if s.lapsed(key, 2*s.LeaseTTL) {
			return false
		}
		s.wantNoLease(s.B, key, nil, remote.StateLease)
		s.wantHeld(l, "v", true)
		s.wantValue(s.B, key, "v")
		return true
	})
}

// untilKept calls check with another key each time until it returns true. It returns false if the
// lease of the key may have lapsed because the machine stood still.
func (s *suite) untilKept(check func(key string) bool) {
	s.Helper()
	for i := range 10 {
		if check(fmt.Sprint("k", i)) {
			return
		}
	}
	s.Fatal("no lease was kept: it lapsed, or the machine stood still, each time")
}

// lapsed lets d pass, and reports whether the lease of a key has lapsed because the machine stood
// still.
func (s *suite) lapsed(key string, d time.Duration) bool {
	return !s.sleepSteadily(d) && s.get(s.B, key).State == remote.StateAbsent
}

// sleepSteadily lets d pass, and reports whether the machine ran all the time: at no time did it
// stand still for a third of a LeaseTTL.
func (s *suite) sleepSteadily(d time.Duration) bool {
	const steps = 20
	steady := true
	for range steps {
		began := time.Now()
		s.Sleep(d / steps)
		steady = steady && time.Since(began) < d/steps+s.LeaseTTL/3
	}
	return steady
}

// leaseHold: the Tier stops the renewals of a lease after hold, and the lease ends, even if
// the holder lives.
func (s *suite) leaseHold() {
	l, _, err := s.A.Lease(s.Context(), "k", s.LeaseTTL, nil)
	if err != nil || l == nil {
		s.Fatalf("Lease: %v, %v", l, err)
	}
	s.Sleep(3 * s.LeaseTTL)
	s.wantState(s.B, "k", remote.StateAbsent)
	s.wantHeld(l, "old", false)
}

// leaseLapses: a lease ends after the holder's death.
func (s *suite) leaseLapses() {
	s.lease(s.A, "k", nil)
	s.Crash()
	s.Sleep(s.LeaseTTL * 5 / 4)
	s.wantState(s.B, "k", remote.StateAbsent)
	s.fillKey(s.B, "k", "v")
}

// leaseOverdue: Wait returns a lease that its holder does not renew, and one caller replaces
// the lease. On a machine that stands still a lease can lapse before Wait sees it.
func (s *suite) leaseOverdue() {
	for i := range 10 {
		key := fmt.Sprint("k", i)
		l, _, err := s.A.Lease(s.Context(), key, 1, nil)
		if err != nil || l == nil {
			s.Fatalf("Lease: %v, %v", l, err)
		}
		rec := s.wait(s.B, key)
		if rec.State != remote.StateLease {
			continue
		}
		taken := s.lease(s.B, key, rec.Version)
		s.wantNoLease(s.A, key, rec.Version, remote.StateLease)
		s.wantHeld(l, "old", false)
		s.wantHeld(taken, "new", true)
		return
	}
	s.Fatal("Wait returned no lease that is not renewed")
}
