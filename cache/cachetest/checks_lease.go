package cachetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache"
)

func (s *suite) leaseExcludes() {
	l := s.lease(s.A, "k", nil)
	s.wantState(s.B, "k", cache.StateLease)
	s.wantNoLease(s.B, "k", nil, cache.StateLease)
	s.wantNoLease(s.A, "k", nil, cache.StateLease)
	if held, err := l.Release(s.Context()); err != nil || !held {
		s.Fatalf("Release: held %v, err %v", held, err)
	}
	s.wantState(s.B, "k", cache.StateAbsent)
	s.fillKey(s.B, "k", "v")
	s.wantNoLease(s.A, "k", nil, cache.StateValue)
}

func (s *suite) oneLease() {
	var taken atomic.Int32
	var wg sync.WaitGroup
	for i := range 32 {
		r := []cache.Remote{s.A, s.B}[i%2]
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

func (s *suite) wait(r cache.Remote, key string) cache.Record {
	s.Helper()
	rec, err := r.Wait(s.Context(), key)
	if err != nil {
		s.Fatalf("Wait: %v", err)
	}
	return rec
}

func (s *suite) waitForFill() {
	l := s.lease(s.A, "k", nil)
	s.after(s.LeaseTTL/4, func(ctx context.Context) {
		if held, err := l.Fill(ctx, fill("v")); err != nil || !held {
			s.Errorf("Fill: held %v, err %v", held, err)
		}
	})
	if rec := s.wait(s.B, "k"); rec.State != cache.StateValue || string(rec.Payload) != "v" {
		s.Fatalf("Wait returned %v, %q", rec.State, rec.Payload)
	}
	if rec := s.wait(s.B, "k"); rec.State != cache.StateValue {
		s.Fatalf("a Wait for a value returned %v", rec.State)
	}
}

func (s *suite) waitForRelease() {
	l := s.lease(s.A, "k", nil)
	s.after(s.LeaseTTL/4, func(ctx context.Context) {
		if held, err := l.Release(ctx); err != nil || !held {
			s.Errorf("Release: held %v, err %v", held, err)
		}
	})
	if rec := s.wait(s.B, "k"); rec.State != cache.StateAbsent {
		s.Fatalf("Wait returned %v", rec.State)
	}
}

func (s *suite) waitForContext() {
	l := s.lease(s.A, "k", nil)
	ctx, cancel := context.WithTimeout(s.Context(), s.LeaseTTL/4)
	defer cancel()
	if _, err := s.B.Wait(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		s.Fatalf("Wait: %v", err)
	}
	s.wantHeld(l, "v", true)
}

func (s *suite) deleteFences() {
	l := s.lease(s.A, "k", nil)
	s.delete(s.B, "k")
	s.wantHeld(l, "old", false)
	s.wantState(s.B, "k", cache.StateAbsent)
}

// lostLease is also the check of the tokens: the holder of the second lease is
// the same instance as that of the first.
func (s *suite) lostLease() {
	for _, next := range []cache.Remote{s.A, s.B} {
		first := s.lease(s.A, "k", nil)
		lost := s.lease(s.A, "other", nil)
		s.delete(s.B, "k", "other")
		second := s.lease(next, "k", nil)
		s.fillKey(next, "other", "new")
		s.wantHeld(first, "old", false)
		s.wantState(s.B, "k", cache.StateLease)
		s.wantHeld(second, "new", true)
		if held, err := lost.Release(s.Context()); err != nil || held {
			s.Fatalf("Release of a lost lease: held %v, err %v", held, err)
		}
		s.wantValue(s.B, "k", "new")
		s.wantValue(s.B, "other", "new")
		s.delete(s.A, "k", "other")
	}
}

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
	s.wantState(s.B, "k", cache.StateTombstone)
}

func (s *suite) wantSeized(key, payload string) {
	s.Helper()
	l, err := s.A.Seize(s.Context(), key, long)
	if err != nil || l == nil {
		s.Fatalf("Seize: %v, %v", l, err)
	}
	s.wantState(s.B, key, cache.StateLease)
	s.wantHeld(l, payload, true)
	s.wantValue(s.B, key, payload)
}

func (s *suite) tombstone() {
	l := s.lease(s.A, "k", nil)
	s.Tombstone("k", s.LeaseTTL)
	rec := s.wantState(s.B, "k", cache.StateTombstone)
	s.wantHeld(l, "old", false)
	s.wantNoLease(s.A, "k", nil, cache.StateTombstone)
	s.wantNoLease(s.A, "k", []byte("another"), cache.StateTombstone)
	if rec := s.wait(s.A, "k"); rec.State != cache.StateTombstone {
		s.Fatalf("Wait returned %v", rec.State)
	}
	if len(rec.Payload) != 0 {
		s.Fatalf("a tombstone has the payload %q", rec.Payload)
	}
	s.Sleep(s.LeaseTTL + s.LeaseTTL/4)
	s.fillKey(s.B, "k", "new")
}

func (s *suite) leaseKept() {
	l := s.lease(s.A, "k", nil)
	s.Sleep(2 * s.LeaseTTL)
	s.wantNoLease(s.B, "k", nil, cache.StateLease)
	s.wantHeld(l, "v", true)
	s.wantValue(s.B, "k", "v")
}

func (s *suite) leaseHold() {
	l, _, err := s.A.Lease(s.Context(), "k", s.LeaseTTL, nil)
	if err != nil || l == nil {
		s.Fatalf("Lease: %v, %v", l, err)
	}
	s.Sleep(3 * s.LeaseTTL)
	s.wantState(s.B, "k", cache.StateAbsent)
	s.wantHeld(l, "old", false)
}

func (s *suite) leaseLapses() {
	s.lease(s.A, "k", nil)
	s.Crash()
	start := time.Now()
	if rec := s.wait(s.B, "k"); rec.State != cache.StateAbsent {
		s.Fatalf("Wait returned %v", rec.State)
	}
	if took := time.Since(start); took > 2*s.LeaseTTL {
		s.Fatalf("the lease lapsed %v after its holder, want %v", took, s.LeaseTTL)
	}
	s.fillKey(s.B, "k", "v")
}
