package cachetest

import (
	"strings"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// guard guards keys for long.
func (s *suite) guard(r remote.Tier, token remote.Token, keys ...string) {
	s.Helper()
	if err := r.Guard(s.Context(), token, keys, long); err != nil {
		s.Fatalf("Guard: %v", err)
	}
}

// unguard ends a guard without a hold.
func (s *suite) unguard(r remote.Tier, token remote.Token, keys ...string) {
	s.Helper()
	if err := r.Unguard(s.Context(), token, keys, 0); err != nil {
		s.Fatalf("Unguard: %v", err)
	}
}

// hold: Invalidate with a hold leaves a tombstone at each key, whatever the record was. The
// tombstone refuses fills, leases and touches like any other, and ends with the hold. There are
// two holds: a brief one, which ends, and a long one, which stands even if the machine stands
// still for a while.
func (s *suite) hold() {
	brief, keys := s.holdFor("brief ", s.LeaseTTL/2), s.holdFor("", long)
	for _, key := range keys {
		s.wantState(s.B, key, remote.StateTombstone)
		s.wantNoLease(s.B, key, nil, remote.StateTombstone)
		if left := s.touched(s.B, key); left != 0 {
			s.Errorf("a touch of a tombstone left %v", left)
		}
	}
	s.Sleep(s.LeaseTTL * 5 / 8)
	for _, key := range brief {
		s.wantState(s.B, key, remote.StateAbsent)
	}
	s.fillKey(s.B, brief[0], "new")
}

// holdFor invalidates keys with a value, a lease and no record. The prefix is of their names.
func (s *suite) holdFor(prefix string, hold time.Duration) (keys []string) {
	s.Helper()
	keys = []string{prefix + "k", prefix + "leased", prefix + "absent"}
	s.fillKey(s.A, keys[0], "old")
	l := s.lease(s.A, keys[1], nil)
	if err := s.A.Invalidate(s.Context(), keys, hold); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
	s.wantHeld(l, "old", false)
	return keys
}

// holdAgain: the longer of two holds counts: a shorter hold ends no tombstone early.
func (s *suite) holdAgain() {
	s.Tombstone("k", long)
	if err := s.A.Invalidate(s.Context(), []string{"k"}, s.LeaseTTL/4); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
	if err := s.B.Invalidate(s.Context(), []string{"j"}, s.LeaseTTL/4); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
	if err := s.A.Invalidate(s.Context(), []string{"j"}, long); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
	s.Sleep(s.LeaseTTL / 2)
	s.wantState(s.B, "k", remote.StateTombstone)
	s.wantState(s.B, "j", remote.StateTombstone)
}

// guardFences: Guard replaces any record by a tombstone. No Fill, Lease or Seize gets past the
// tombstone until Unguard.
func (s *suite) guardFences() {
	token := remote.Token{1}
	s.fillKey(s.A, "value", "old")
	l := s.lease(s.B, "lease", nil)
	s.Corrupt("corrupt")
	keys := []string{"value", "lease", "corrupt", "absent"}
	s.guard(s.A, token, keys...)
	s.wantHeld(l, "old", false)
	for _, key := range keys {
		s.wantState(s.B, key, remote.StateTombstone)
		s.wantNoLease(s.B, key, nil, remote.StateTombstone)
		if l, err := s.B.Seize(s.Context(), key, long); l != nil || err != nil {
			s.Fatalf("Seize over a guard: %v, %v", l, err)
		}
	}
	s.unguard(s.A, token, keys...)
	for _, key := range keys {
		s.wantState(s.B, key, remote.StateAbsent)
		s.fillKey(s.B, key, "new")
	}
}

// guardLapses: a tombstone ends by itself after its TTL, and not before, if the banning process
// dies.
func (s *suite) guardLapses() {
	s.guard(s.A, remote.Token{1}, "longer")
	began := time.Now()
	if err := s.A.Guard(s.Context(), remote.Token{2}, []string{"k"}, s.LeaseTTL/2); err != nil {
		s.Fatalf("Guard: %v", err)
	}
	s.Crash()
	s.Sleep(s.LeaseTTL / 4)
	if state := s.get(s.B, "k").State; state != remote.StateTombstone && time.Since(began) < s.LeaseTTL/2 {
		s.Fatalf("the record is %v before the TTL is over, want a tombstone", state)
	}
	s.Sleep(s.LeaseTTL * 3 / 8)
	s.wantState(s.B, "k", remote.StateAbsent)
	s.wantState(s.B, "longer", remote.StateTombstone)
}

// guardsTogether: a key can have several guards: the tombstone stands until the last one is
// removed. To lift a guard twice ends no other guard.
func (s *suite) guardsTogether() {
	first, second, third := remote.Token{1}, remote.Token{2}, remote.Token{255}
	s.guard(s.A, first, "k", "other")
	s.guard(s.B, second, "k")
	s.guard(s.A, third, "k")
	s.unguard(s.A, first, "k", "other")
	s.wantState(s.B, "other", remote.StateAbsent)
	s.wantState(s.B, "k", remote.StateTombstone)
	s.unguard(s.A, first, "k") // repeated
	s.wantState(s.B, "k", remote.StateTombstone)
	s.unguard(s.A, third, "k")
	s.wantState(s.B, "k", remote.StateTombstone)
	s.unguard(s.B, second, "k")
	s.wantState(s.A, "k", remote.StateAbsent)
}

// guardOutlivesOthers: a shorter hold, or the Unguard of a shorter guard, ends no guard early.
func (s *suite) guardOutlivesOthers() {
	long, short := remote.Token{1}, remote.Token{2}
	s.guard(s.A, long, "k")
	if err := s.B.Invalidate(s.Context(), []string{"k"}, s.LeaseTTL/10); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
	if err := s.B.Guard(s.Context(), short, []string{"k"}, s.LeaseTTL/10); err != nil {
		s.Fatalf("Guard: %v", err)
	}
	if err := s.B.Unguard(s.Context(), short, []string{"k"}, s.LeaseTTL/10); err != nil {
		s.Fatalf("Unguard: %v", err)
	}
	s.Sleep(s.LeaseTTL / 4)
	s.wantState(s.B, "k", remote.StateTombstone)
	s.unguard(s.A, long, "k")
	s.wantState(s.B, "k", remote.StateAbsent)
}

// unguardRemoves: Unguard removes the record of a key even without the guard: the guard may have been
// lost, and the key filled or leased since.
func (s *suite) unguardRemoves() {
	s.fillKey(s.B, "value", "old")
	l := s.lease(s.B, "lease", nil)
	s.Corrupt("corrupt")
	keys := []string{"value", "lease", "corrupt", "absent"}
	s.unguard(s.A, remote.Token{3}, keys...)
	for _, key := range keys {
		s.wantState(s.B, key, remote.StateAbsent)
	}
	s.wantHeld(l, "old", false)
}

// unguardHolds: Unguard with a hold leaves tombstones, also where there was no guard.
func (s *suite) unguardHolds() {
	token := remote.Token{4}
	s.guard(s.A, token, "k")
	s.fillKey(s.B, "value", "old")
	if err := s.A.Unguard(s.Context(), token, []string{"k", "value"}, s.LeaseTTL/2); err != nil {
		s.Fatalf("Unguard: %v", err)
	}
	s.wantState(s.B, "k", remote.StateTombstone)
	s.wantState(s.B, "value", remote.StateTombstone)
	s.Sleep(s.LeaseTTL * 5 / 8)
	s.wantState(s.B, "k", remote.StateAbsent)
	s.wantState(s.B, "value", remote.StateAbsent)
}

// guardOfMany: Guard and Unguard take more keys than fit into one command, and none.
func (s *suite) guardOfMany() {
	token := remote.Token{5}
	keys := make([]string, 1200)
	for i := range keys {
		keys[i] = strings.Repeat("k", i+1)
	}
	s.fillKey(s.A, "other", "v")
	s.guard(s.A, token, keys...)
	for _, i := range []int{0, 600, 1199} {
		s.wantState(s.B, keys[i], remote.StateTombstone)
	}
	s.unguard(s.A, token, keys...)
	for _, i := range []int{0, 600, 1199} {
		s.wantState(s.B, keys[i], remote.StateAbsent)
	}
	s.wantValue(s.B, "other", "v")
	s.guard(s.A, token)
	s.unguard(s.A, token)
}
