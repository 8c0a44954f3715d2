package cachetest

import (
	"fmt"

	"github.com/nearside-go/nearside/cache/remote"
)

func (s *suite) getOrLease(r remote.Tier, key string) (remote.Lease, remote.Record) {
	s.Helper()
	l, rec, err := r.GetOrLease(s.Context(), key, long, true)
	if err != nil {
		s.Fatalf("GetOrLease: %v", err)
	}
	return l, rec
}

// readTakesLease: a lease from GetOrLease excludes others, is kept alive, and can be filled
// or released. An implementation may also leave the lease to Lease.
func (s *suite) readTakesLease() {
	granted := false
	s.untilKept(func(key string) bool {
		l, rec := s.getOrLease(s.A, key)
		if rec.State != remote.StateAbsent {
			s.Fatalf("an absent key is %v", rec.State)
		}
		if granted = l != nil; !granted {
			s.wantState(s.B, key, remote.StateAbsent)
			return true
		}
		s.wantState(s.B, key, remote.StateLease)
		s.wantNoLease(s.B, key, nil, remote.StateLease)
		if s.lapsed(key, 2*s.LeaseTTL) {
			return false
		}
		s.wantState(s.B, key, remote.StateLease) // the Tier keeps the lease alive
		s.wantHeld(l, "v", true)
		s.wantValue(s.B, key, "v")
		return true
	})
	if !granted {
		return
	}

	second, _ := s.getOrLease(s.A, "other")
	if second == nil { // an implementation may take a lease in some calls only
		second = s.lease(s.A, "other", nil)
	}
	if held, err := second.Release(s.Context()); err != nil || !held {
		s.Fatalf("Release: held %v, err %v", held, err)
	}
	s.wantState(s.B, "other", remote.StateAbsent)
}

// readTakesNoOther: GetOrLease takes no lease while there is a record, and returns the
// record.
func (s *suite) readTakesNoOther() {
	s.fillKey(s.A, "value", "v")
	s.Tombstone("tombstone", long)
	s.Corrupt("corrupt")
	held := s.lease(s.A, "lease", nil)
	for key, want := range map[string]remote.State{
		"value": remote.StateValue, "tombstone": remote.StateTombstone, "corrupt": remote.StateCorrupt, "lease": remote.StateLease,
	} {
		if l, rec := s.getOrLease(s.B, key); l != nil || rec.State != want {
			s.Fatalf("%v: GetOrLease took a lease: %v; it is %v", want, l != nil, rec.State)
		}
		s.wantState(s.B, key, want)
	}
	s.wantHeld(held, "v", true)
}

// confirms: Record.Complete is true only if every earlier entry has been delivered to the
// follower, and never without confirm. Complete may always be false.
func (s *suite) confirms() {
	l := s.follow(s.B, "c")
	s.fillKey(s.A, "c:0:k", "v")
	for i := range 20 {
		name := fmt.Sprint("c:0:other ", i)
		s.delete(s.A, name)
		rec, err := s.B.Get(s.Context(), "c:0:k", true)
		if err != nil {
			s.Fatalf("Get: %v", err)
		}
		if _, told := l.find(name); rec.Complete && !told {
			s.Fatal("a read is complete, and an invalidation of before was not told")
		}
	}
	if rec, err := s.B.Get(s.Context(), "c:0:k", false); err != nil || rec.Complete {
		s.Fatalf("a read that does not confirm: complete %v, err %v", rec.Complete, err)
	}
}
