package cachetest

import (
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// stale stores a value that is stale as soon as stale returns, and is kept for long.
func (s *suite) stale(key, payload string) remote.Record {
	s.Helper()
	return s.staleFor(key, payload, long)
}

// staleFor is stale for a value with another window.
func (s *suite) staleFor(key, payload string, window time.Duration) remote.Record {
	s.Helper()
	const ttl = 10 * time.Millisecond
	held, err := s.lease(s.A, key, nil).Fill(s.Context(),
		remote.Fill{Payload: []byte(payload), TTL: ttl, MaxAge: long, Window: window})
	if err != nil || !held {
		s.Fatalf("Fill: held %v, err %v", held, err)
	}
	for range 100 {
		if s.Sleep(2 * ttl); s.get(s.B, key).Left <= 0 {
			break
		}
	}
	rec := s.wantValue(s.B, key, payload)
	if rec.Left > 0 || rec.Left < -window || rec.Window != window {
		s.Fatalf("the record is %+v, want a stale one", rec)
	}
	return rec
}

func (s *suite) wantStale(r remote.Tier, key, payload string) remote.Record {
	s.Helper()
	rec := s.wantValue(r, key, payload)
	if rec.Left > 0 || rec.Left < -long || rec.Window != long {
		s.Fatalf("the record is %+v, want a stale one", rec)
	}
	return rec
}

func (s *suite) leaseBeside(r remote.Tier, key string, version []byte) remote.Lease {
	s.Helper()
	l, rec, err := r.LeaseBeside(s.Context(), key, long, version)
	if err != nil || l == nil {
		s.Fatalf("LeaseBeside: %v, err %v, in the way: %+v", l, err, rec)
	}
	return l
}

// wantNoLeaseBeside: LeaseBeside is refused, because of the record that it returns.
func (s *suite) wantNoLeaseBeside(r remote.Tier, key string, version []byte) remote.Record {
	s.Helper()
	l, rec, err := r.LeaseBeside(s.Context(), key, long, version)
	if err != nil || l != nil {
		s.Fatalf("LeaseBeside: %v, err %v, want none", l, err)
	}
	return rec
}

// window: a value is kept for its Window after its TTL, and no longer. Touch does not renew a
// stale value, and renews the Window of a fresh one with its TTL.
func (s *suite) window() {
	unit := s.LeaseTTL
	for key, ttl := range map[string]time.Duration{"old": unit / 4, "k": unit} {
		if _, err := s.lease(s.A, key, nil).Fill(s.Context(),
			remote.Fill{Payload: []byte("v"), TTL: ttl, MaxAge: long, Window: unit}); err != nil {
			s.Fatal(err)
		}
	}
	s.Sleep(unit / 2)
	if rec := s.get(s.B, "old"); rec.State == remote.StateValue && rec.Left > -unit/8 {
		s.Fatalf("%v are left, half a unit after a fill with a TTL of a quarter", rec.Left)
	}
	if left := s.touched(s.B, "old"); left != 0 {
		s.Fatalf("a touch of a stale value left %v", left)
	}
	if left := s.touched(s.B, "k"); left > unit {
		s.Fatalf("a touch left %v of a TTL of %v", left, unit)
	}
	if rec := s.get(s.B, "k"); rec.State == remote.StateValue && (rec.Left > unit || rec.Window != unit) {
		s.Fatalf("after a touch: %v are left, with a window of %v", rec.Left, rec.Window)
	}
	s.Sleep(unit)
	s.wantState(s.B, "old", remote.StateAbsent)
	s.Sleep(unit * 5 / 4)
	s.wantState(s.B, "k", remote.StateAbsent)
}

// staleLease: one caller takes the lease of a stale value, which stands until the fill.
func (s *suite) staleLease() {
	old := s.stale("k", "old")
	l := s.leaseBeside(s.B, "k", old.Version)
	for _, r := range []remote.Tier{s.A, s.B} {
		s.wantStale(r, "k", "old")
		rec := s.wantNoLeaseBeside(r, "k", old.Version)
		if rec.State != remote.StateValue || !rec.Leased || string(rec.Version) != string(old.Version) {
			s.Fatalf("in the way is %+v", rec)
		}
	}
	s.wantHeld(l, "new", true)
	if rec := s.wantValue(s.A, "k", "new"); rec.Left <= 0 || rec.Window != 0 {
		s.Fatalf("the new record is %+v", rec)
	}
	if rec := s.wantNoLeaseBeside(s.A, "k", old.Version); string(rec.Payload) != "new" || rec.Leased {
		s.Fatalf("in the way is %+v", rec)
	}
}

// staleRelease: Release leaves the stale value, and another caller may take its lease. A Fill
// without a TTL removes the value.
func (s *suite) staleRelease() {
	old := s.stale("k", "old")
	if held, err := s.leaseBeside(s.A, "k", old.Version).Release(s.Context()); err != nil || !held {
		s.Fatalf("Release: held %v, err %v", held, err)
	}
	s.wantStale(s.A, "k", "old")
	l := s.leaseBeside(s.B, "k", old.Version)
	if held, err := l.Fill(s.Context(), remote.Fill{MaxAge: long}); err != nil || !held {
		s.Fatalf("Fill: held %v, err %v", held, err)
	}
	s.wantState(s.A, "k", remote.StateAbsent)
}

// staleFences: after an Invalidate the value is gone, and the lease with it. So is the lease
// of a value that another has replaced.
func (s *suite) staleFences() {
	old, other := s.stale("k", "old"), s.stale("other", "old")
	l, lost := s.leaseBeside(s.A, "k", old.Version), s.leaseBeside(s.A, "other", other.Version)
	s.delete(s.B, "k")
	s.wantHeld(l, "late", false)
	s.wantState(s.B, "k", remote.StateAbsent)
	if rec := s.wantNoLeaseBeside(s.A, "k", old.Version); rec.State != remote.StateAbsent {
		s.Fatalf("in the way is %v", rec.State)
	}
	newer := remote.Fill{Payload: []byte("new"), TTL: long, MaxAge: long, Window: long}
	if held, err := s.lease(s.B, "other", other.Version).Fill(s.Context(), newer); err != nil || !held {
		s.Fatalf("Fill: held %v, err %v", held, err)
	}
	s.wantHeld(lost, "late", false)
	s.wantValue(s.A, "other", "new")
}

// staleLeaseLapses: the lease of a stale value is kept alive, and ends after its holder's
// death.
func (s *suite) staleLeaseLapses() {
	var last string
	var old remote.Record
	s.untilKept(func(key string) bool {
		last, old = key, s.stale(key, "old")
		s.leaseBeside(s.A, key, old.Version)
		if !s.sleepSteadily(s.LeaseTTL * 5 / 4) {
			return false
		}
		if rec := s.wantNoLeaseBeside(s.B, key, old.Version); !rec.Leased {
			s.Fatalf("in the way is %+v", rec)
		}
		return true
	})
	s.Crash()
	s.Sleep(s.LeaseTTL * 5 / 4)
	s.wantHeld(s.leaseBeside(s.B, last, old.Version), "new", true)
}

// staleLeaseOutlives: the lease of a stale value stands although the value's Window ends.
func (s *suite) staleLeaseOutlives() {
	s.untilKept(func(key string) bool {
		l := s.leaseBeside(s.A, key, s.staleFor(key, "old", s.LeaseTTL*3/4).Version)
		if s.lapsed(key, s.LeaseTTL*5/4) {
			return false
		}
		s.wantState(s.B, key, remote.StateLease)
		s.wantHeld(l, "new", true)
		s.wantValue(s.B, key, "new")
		return true
	})
}

// fresh stores a value with the duration of its load.
func (s *suite) fresh(key string) remote.Record {
	s.Helper()
	fill := remote.Fill{Payload: []byte("old"), TTL: long, MaxAge: long, LoadTime: 1500 * time.Microsecond}
	if held, err := s.lease(s.A, key, nil).Fill(s.Context(), fill); err != nil || !held {
		s.Fatalf("Fill: held %v, err %v", held, err)
	}
	rec := s.wantValue(s.B, key, "old")
	if rec.LoadTime != fill.LoadTime || rec.Window != 0 || rec.Left <= 0 {
		s.Fatalf("the record is %+v, want a fresh one with a LoadTime of %v", rec, fill.LoadTime)
	}
	return rec
}

// freshLease: a value that was filled with a LoadTime may be leased before it is stale. Touch
// renews it meanwhile. A value without a LoadTime and a Window may not be leased.
func (s *suite) freshLease() {
	old := s.fresh("k")
	l := s.leaseBeside(s.A, "k", old.Version)
	if rec := s.wantNoLeaseBeside(s.B, "k", old.Version); !rec.Leased {
		s.Fatalf("in the way is %+v", rec)
	}
	s.touched(s.B, "k")
	s.wantValue(s.B, "k", "old")
	s.wantHeld(l, "new", true)
	if rec := s.wantNoLeaseBeside(s.B, "k", s.wantValue(s.B, "k", "new").Version); rec.Leased || string(rec.Payload) != "new" {
		s.Fatalf("in the way is %+v", rec)
	}
}

// unchanged: a Fill of the value that LeaseBeside has left keeps the value, unless the key was
// invalidated. The value is a new record.
func (s *suite) unchanged() {
	old, other := s.fresh("k"), s.fresh("other")
	l, lost := s.leaseBeside(s.A, "k", old.Version), s.leaseBeside(s.A, "other", other.Version)
	fill := remote.Fill{Payload: []byte("old"), TTL: long / 2, MaxAge: long, Window: long, LoadTime: time.Second,
		Stamp: remote.Position{Time: 7, Seq: 7}, Unchanged: true}
	if held, err := l.Fill(s.Context(), fill); err != nil || !held {
		s.Fatalf("Fill: held %v, err %v", held, err)
	}
	rec := s.wantValue(s.B, "k", "old")
	if rec.TTL != fill.TTL || rec.Left <= 0 || rec.Left > fill.TTL || rec.Window != fill.Window || rec.LoadTime != fill.LoadTime ||
		rec.Stamp != fill.Stamp || string(rec.Version) == string(old.Version) {
		s.Fatalf("the record is %+v, want one of %+v", rec, fill)
	}
	s.wantHeld(s.leaseBeside(s.B, "k", rec.Version), "new", true)

	s.delete(s.B, "other")
	if held, err := lost.Fill(s.Context(), fill); err != nil || held {
		s.Fatalf("Fill after an Invalidate: held %v, err %v", held, err)
	}
	s.wantState(s.B, "other", remote.StateAbsent)
}

// unchangedEnded: the value that LeaseBeside has left may end before the Fill.
func (s *suite) unchangedEnded() {
	s.untilKept(func(key string) bool {
		l := s.leaseBeside(s.A, key, s.staleFor(key, "old", s.LeaseTTL*3/4).Version)
		if s.lapsed(key, s.LeaseTTL*5/4) {
			return false
		}
		fill := remote.Fill{Payload: []byte("old"), TTL: long, MaxAge: long, Window: long, Unchanged: true}
		if held, err := l.Fill(s.Context(), fill); err != nil || !held {
			s.Fatalf("Fill: held %v, err %v", held, err)
		}
		s.wantValue(s.B, key, "old")
		return true
	})
}
