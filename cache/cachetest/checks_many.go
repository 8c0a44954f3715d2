package cachetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// several is how many keys a check has where many are meant.
const several = 60

func someKeys(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint("test:0:many", i))
	}
	return keys
}

// wantReplies wants as many replies without an error.
func (s *suite) wantReplies(got []remote.Reply, n int) []remote.Reply {
	s.Helper()
	if len(got) != n {
		s.Fatalf("%d replies to %d keys", len(got), n)
	}
	for i, reply := range got {
		if reply.Err != nil {
			s.Fatalf("reply %d: %v", i, reply.Err)
		}
	}
	return got
}

// leaseAll takes the leases of keys, which must be free.
func (s *suite) leaseAll(r remote.Tier, keys []string) (leases []remote.Lease) {
	s.Helper()
	asks := make([]remote.LeaseAsk, len(keys))
	for i, key := range keys {
		asks[i].Key = key
	}
	for i, reply := range s.wantReplies(r.LeaseMany(s.Context(), asks, long), len(keys)) {
		if reply.Lease == nil {
			s.Fatalf("no lease of key %d: a %v stands", i, reply.Record.State)
		}
		leases = append(leases, reply.Lease)
	}
	return leases
}

// endAll ends leases: each third by its release, and the others by a fill.
func (s *suite) endAll(r remote.Tier, leases []remote.Lease) []remote.Ended {
	s.Helper()
	ends := make([]remote.LeaseEnd, len(leases))
	for i, l := range leases {
		ends[i].Lease = l
		if i%3 != 0 {
			f := fill(fmt.Sprint("v", i))
			ends[i].Fill = &f
		}
	}
	got := r.EndMany(s.Context(), ends)
	if len(got) != len(ends) {
		s.Fatalf("%d leases ended, want %d", len(got), len(ends))
	}
	return got
}

func (s *suite) manyTogether() {
	keys := someKeys(several)
	for i, ended := range s.endAll(s.A, s.leaseAll(s.A, keys)) {
		if !ended.Held || ended.Err != nil {
			s.Fatalf("lease %d ended: %v, %v", i, ended.Held, ended.Err)
		}
	}
	for i, reply := range s.wantReplies(s.B.GetMany(s.Context(), keys, false), len(keys)) {
		state, payload := reply.Record.State, string(reply.Record.Payload)
		switch {
		case reply.Lease != nil:
			s.Fatalf("a lease of key %d, from a read", i)
		case i%3 == 0 && state != remote.StateAbsent, i%3 != 0 && payload != fmt.Sprint("v", i):
			s.Fatalf("at key %d is a %v, %q", i, state, payload)
		}
	}
}

// Each of many keys has an outcome of its own.
func (s *suite) manyApart() {
	free, held, value, corrupt := "test:0:free", "test:0:held", "test:0:value", "test:0:corrupt"
	s.lease(s.B, held, nil)
	s.fillKey(s.B, value, "old")
	s.Corrupt(corrupt)
	keys := []string{corrupt, free, held, value}
	want := []remote.State{remote.StateCorrupt, remote.StateAbsent, remote.StateLease, remote.StateValue}
	read := s.wantReplies(s.A.GetMany(s.Context(), keys, false), len(keys))
	for i, reply := range read {
		if reply.Record.State != want[i] {
			s.Errorf("at %s is a %v", keys[i], reply.Record.State)
		}
	}
	got := s.wantReplies(s.A.LeaseMany(s.Context(), []remote.LeaseAsk{
		{Key: corrupt, Replace: read[0].Record.Version}, {Key: free}, {Key: held}, {Key: value},
	}, long), len(keys))
	for i, granted := range []bool{true, true, false, false} {
		switch {
		case granted != (got[i].Lease != nil):
			s.Errorf("the lease of %s: %v", keys[i], got[i].Lease)
		case !granted && got[i].Record.State != want[i]:
			s.Errorf("in the way of the lease of %s is a %v", keys[i], got[i].Record.State)
		}
	}
	s.delete(s.B, free)
	ended := s.A.EndMany(s.Context(), []remote.LeaseEnd{
		{Lease: got[0].Lease, Fill: &remote.Fill{Payload: []byte("new"), TTL: long, MaxAge: long}},
		{Lease: got[1].Lease, Fill: &remote.Fill{Payload: []byte("new"), TTL: long, MaxAge: long}},
	})
	for i, held := range []bool{true, false} { // the delete has fenced the second
		if ended[i].Held != held || ended[i].Err != nil {
			s.Errorf("the end of lease %d: %v, %v", i, ended[i].Held, ended[i].Err)
		}
	}
	s.wantValue(s.B, corrupt, "new")
	s.wantState(s.B, free, remote.StateAbsent)
}

// The leases of many stale values leave the values.
func (s *suite) manyBeside() {
	keys := someKeys(3)
	asks := make([]remote.LeaseAsk, len(keys))
	for i, key := range keys {
		f := fill("old")
		f.Window, f.LoadTime = long, time.Second
		if held, err := s.lease(s.A, key, nil).Fill(s.Context(), f); err != nil || !held {
			s.Fatalf("Fill: %v, %v", held, err)
		}
		asks[i] = remote.LeaseAsk{Key: key, Replace: s.get(s.A, key).Version, Beside: true}
	}
	got := s.wantReplies(s.A.LeaseMany(s.Context(), asks, long), len(keys))
	for i, again := range s.wantReplies(s.B.LeaseMany(s.Context(), asks, long), len(keys)) {
		if got[i].Lease == nil || again.Lease != nil || !again.Record.Leased {
			s.Errorf("leases of %s: %v, and then %v beside a record with Leased %v", keys[i], got[i].Lease, again.Lease, again.Record.Leased)
		}
		s.wantValue(s.B, keys[i], "old")
	}
}

func (s *suite) manyTouches() {
	keys := someKeys(several)
	ends := make([]remote.LeaseEnd, 0, len(keys))
	f := remote.Fill{Payload: []byte("v"), TTL: 10 * time.Minute, MaxAge: long}
	for _, l := range s.leaseAll(s.A, keys[1:]) { // the first stays absent
		ends = append(ends, remote.LeaseEnd{Lease: l, Fill: &f})
	}
	for i, ended := range s.A.EndMany(s.Context(), ends) {
		if !ended.Held || ended.Err != nil {
			s.Fatalf("fill %d: %v, %v", i, ended.Held, ended.Err)
		}
	}
	s.Sleep(10 * time.Millisecond)
	if n, err := s.B.TouchMany(s.Context(), keys); n != len(keys)-1 || err != nil {
		s.Errorf("TouchMany: %d, %v; want %d", n, err, len(keys)-1)
	}
	s.wantState(s.B, keys[0], remote.StateAbsent)
}

func (s *suite) manyEnded() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	keys := someKeys(3)
	for i, reply := range s.A.GetMany(ctx, keys, false) {
		if !errors.Is(reply.Err, context.Canceled) {
			s.Errorf("GetMany, key %d: %v", i, reply.Err)
		}
	}
	for i, reply := range s.A.LeaseMany(ctx, []remote.LeaseAsk{{Key: keys[0]}, {Key: keys[1]}}, long) {
		if reply.Err == nil || reply.Lease != nil {
			s.Errorf("LeaseMany, key %d: %v, %v", i, reply.Lease, reply.Err)
		}
	}
	if _, err := s.A.TouchMany(ctx, keys); err == nil {
		s.Error("TouchMany returned nil")
	}
	for _, key := range keys {
		s.wantState(s.B, key, remote.StateAbsent)
	}
}
