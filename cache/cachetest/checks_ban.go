package cachetest

import (
	"strings"

	"github.com/nearside-go/nearside/cache"
)

func (s *suite) ban(r cache.Remote, ban cache.Token, keys ...string) {
	s.Helper()
	if err := r.Ban(s.Context(), ban, keys, long); err != nil {
		s.Fatalf("Ban: %v", err)
	}
}

func (s *suite) lift(r cache.Remote, ban cache.Token, keys ...string) {
	s.Helper()
	if err := r.Lift(s.Context(), ban, keys, 0); err != nil {
		s.Fatalf("Lift: %v", err)
	}
}

// hold: what an invalidation leaves for a while is a tombstone like any other.
func (s *suite) hold() {
	s.fillKey(s.A, "k", "old")
	l := s.lease(s.A, "leased", nil)
	keys := []string{"k", "leased", "absent"}
	if err := s.A.Invalidate(s.Context(), keys, s.LeaseTTL/2); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
	s.wantHeld(l, "old", false)
	for _, key := range keys {
		s.wantState(s.B, key, cache.StateTombstone)
		s.wantNoLease(s.B, key, nil, cache.StateTombstone)
		if left := s.touched(s.B, key); left != 0 {
			s.Errorf("a touch of a tombstone left %v", left)
		}
	}
	s.Sleep(s.LeaseTTL * 5 / 8)
	for _, key := range keys {
		s.wantState(s.B, key, cache.StateAbsent)
	}
	s.fillKey(s.B, "k", "new")
}

// holdAgain: the later of two holds counts, and a short one ends no long one.
func (s *suite) holdAgain() {
	s.Tombstone("k", long)
	if err := s.A.Invalidate(s.Context(), []string{"k"}, s.LeaseTTL/4); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
	if err := s.B.Invalidate(s.Context(), []string{"j"}, s.LeaseTTL/4); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
	if err := s.A.Invalidate(s.Context(), []string{"j"}, s.LeaseTTL); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
	s.Sleep(s.LeaseTTL / 2)
	s.wantState(s.B, "k", cache.StateTombstone)
	s.wantState(s.B, "j", cache.StateTombstone)
}

// banFences: a ban takes the place of whatever stands, and nothing gets in.
func (s *suite) banFences() {
	ban := cache.Token{1}
	s.fillKey(s.A, "value", "old")
	l := s.lease(s.B, "lease", nil)
	s.Corrupt("corrupt")
	keys := []string{"value", "lease", "corrupt", "absent"}
	s.ban(s.A, ban, keys...)
	s.wantHeld(l, "old", false)
	for _, key := range keys {
		s.wantState(s.B, key, cache.StateTombstone)
		s.wantNoLease(s.B, key, nil, cache.StateTombstone)
		if l, err := s.B.Seize(s.Context(), key, long); l != nil || err != nil {
			s.Fatalf("Seize over a ban: %v, %v", l, err)
		}
	}
	s.lift(s.A, ban, keys...)
	for _, key := range keys {
		s.wantState(s.B, key, cache.StateAbsent)
		s.fillKey(s.B, key, "new")
	}
}

func (s *suite) banLapses() {
	if err := s.A.Ban(s.Context(), cache.Token{2}, []string{"k"}, s.LeaseTTL/2); err != nil {
		s.Fatalf("Ban: %v", err)
	}
	s.Crash()
	s.Sleep(s.LeaseTTL / 4)
	s.wantState(s.B, "k", cache.StateTombstone)
	s.Sleep(s.LeaseTTL * 3 / 8)
	s.wantState(s.B, "k", cache.StateAbsent)
}

// bansSideBySide: the tombstone stands until the last of them is lifted.
func (s *suite) bansSideBySide() {
	first, second, third := cache.Token{1}, cache.Token{2}, cache.Token{255}
	s.ban(s.A, first, "k", "other")
	s.ban(s.B, second, "k")
	s.ban(s.A, third, "k")
	s.lift(s.A, first, "k", "other")
	s.wantState(s.B, "other", cache.StateAbsent)
	s.wantState(s.B, "k", cache.StateTombstone)
	s.lift(s.A, first, "k") // repeated
	s.wantState(s.B, "k", cache.StateTombstone)
	s.lift(s.A, third, "k")
	s.wantState(s.B, "k", cache.StateTombstone)
	s.lift(s.B, second, "k")
	s.wantState(s.A, "k", cache.StateAbsent)
}

// banOutlivesOthers: neither a hold nor a shorter ban that is lifted ends it early.
func (s *suite) banOutlivesOthers() {
	long, short := cache.Token{1}, cache.Token{2}
	s.ban(s.A, long, "k")
	if err := s.B.Invalidate(s.Context(), []string{"k"}, s.LeaseTTL/10); err != nil {
		s.Fatalf("Invalidate: %v", err)
	}
	if err := s.B.Ban(s.Context(), short, []string{"k"}, s.LeaseTTL/10); err != nil {
		s.Fatalf("Ban: %v", err)
	}
	if err := s.B.Lift(s.Context(), short, []string{"k"}, s.LeaseTTL/10); err != nil {
		s.Fatalf("Lift: %v", err)
	}
	s.Sleep(s.LeaseTTL / 4)
	s.wantState(s.B, "k", cache.StateTombstone)
	s.lift(s.A, long, "k")
	s.wantState(s.B, "k", cache.StateAbsent)
}

// liftRemoves: a ban that was lost is no reason to leave what stands there now.
func (s *suite) liftRemoves() {
	s.fillKey(s.B, "value", "old")
	l := s.lease(s.B, "lease", nil)
	s.Corrupt("corrupt")
	keys := []string{"value", "lease", "corrupt", "absent"}
	s.lift(s.A, cache.Token{3}, keys...)
	for _, key := range keys {
		s.wantState(s.B, key, cache.StateAbsent)
	}
	s.wantHeld(l, "old", false)
}

func (s *suite) liftHolds() {
	ban := cache.Token{4}
	s.ban(s.A, ban, "k")
	s.fillKey(s.B, "value", "old")
	if err := s.A.Lift(s.Context(), ban, []string{"k", "value"}, s.LeaseTTL/2); err != nil {
		s.Fatalf("Lift: %v", err)
	}
	s.wantState(s.B, "k", cache.StateTombstone)
	s.wantState(s.B, "value", cache.StateTombstone)
	s.Sleep(s.LeaseTTL * 5 / 8)
	s.wantState(s.B, "k", cache.StateAbsent)
	s.wantState(s.B, "value", cache.StateAbsent)
}

func (s *suite) banOfMany() {
	ban := cache.Token{5}
	keys := make([]string, 1200)
	for i := range keys {
		keys[i] = strings.Repeat("k", i+1)
	}
	s.fillKey(s.A, "other", "v")
	s.ban(s.A, ban, keys...)
	for _, i := range []int{0, 600, 1199} {
		s.wantState(s.B, keys[i], cache.StateTombstone)
	}
	s.lift(s.A, ban, keys...)
	for _, i := range []int{0, 600, 1199} {
		s.wantState(s.B, keys[i], cache.StateAbsent)
	}
	s.wantValue(s.B, "other", "v")
	s.ban(s.A, ban)
	s.lift(s.A, ban)
}
