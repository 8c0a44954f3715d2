package cachetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// absent: a key without a record is absent to Get and Wait, and can be invalidated.
func (s *suite) absent() {
	s.wantState(s.A, "k", remote.StateAbsent)
	if rec := s.wait(s.A, "k"); rec.State != remote.StateAbsent {
		s.Fatalf("Wait returned %v", rec.State)
	}
	s.delete(s.A, "k")
}

// fillIsRead: every instance reads a filled value, with its TTL and the time of the read.
func (s *suite) fillIsRead() {
	before := time.Now()
	s.wantHeld(s.lease(s.A, "k", nil), "v", true)
	for _, r := range []remote.Tier{s.A, s.B} {
		rec := s.wantValue(r, "k", "v")
		if rec.NotFound || rec.TTL != long || rec.Left <= 0 || rec.Left > long {
			s.Fatalf("the record is %+v", rec)
		}
		if rec.Asked.Before(before) || rec.Asked.After(time.Now()) {
			s.Fatalf("Asked is %v", rec.Asked)
		}
	}
}

// payloads: a payload may be empty, large, and of any bytes.
func (s *suite) payloads() {
	for _, payload := range []string{"", strings.Repeat("\x00payload\xff", 1<<17)} {
		s.fillKey(s.A, "k", payload)
		s.wantValue(s.B, "k", payload)
		s.delete(s.A, "k")
	}
}

// notFound: a missing key of the source is stored like a value.
func (s *suite) notFound() {
	l := s.lease(s.A, "k", nil)
	held, err := l.Fill(s.Context(), remote.Fill{NotFound: true, TTL: long, MaxAge: long})
	if err != nil || !held {
		s.Fatalf("Fill: held %v, err %v", held, err)
	}
	if rec := s.wantState(s.B, "k", remote.StateValue); !rec.NotFound || len(rec.Payload) != 0 {
		s.Fatalf("the record is %+v", rec)
	}
}

// replaceValue: with the Version of a value one caller can take the lease in place of the
// value. The Version names no later record.
func (s *suite) replaceValue() {
	s.fillKey(s.A, "k", "old")
	old := s.wantValue(s.B, "k", "old")
	l := s.lease(s.B, "k", old.Version)
	s.wantNoLease(s.A, "k", old.Version, remote.StateLease)
	s.wantHeld(l, "new", true)
	s.wantNoLease(s.A, "k", old.Version, remote.StateValue)
	s.wantValue(s.A, "k", "new")
}

// replaceCorrupt: a corrupt record has a Reason, and a Version with which a caller can take
// the lease.
func (s *suite) replaceCorrupt() {
	s.Corrupt("k")
	rec := s.wantState(s.A, "k", remote.StateCorrupt)
	if rec.Reason == nil {
		s.Fatal("a corrupt record has no reason")
	}
	s.wantHeld(s.lease(s.A, "k", rec.Version), "v", true)
	s.wantValue(s.B, "k", "v")
}

// valueExpires: a value ends with its TTL.
func (s *suite) valueExpires() {
	l := s.lease(s.A, "k", nil)
	if _, err := l.Fill(s.Context(), remote.Fill{Payload: []byte("v"), TTL: s.LeaseTTL, MaxAge: long}); err != nil {
		s.Fatal(err)
	}
	if rec := s.wantValue(s.B, "k", "v"); rec.Left > s.LeaseTTL {
		s.Fatalf("%v are left of a TTL of %v", rec.Left, s.LeaseTTL)
	}
	s.Sleep(s.LeaseTTL + s.LeaseTTL/4)
	s.wantState(s.B, "k", remote.StateAbsent)
}

// touch: Touch renews the TTL of a value, and never beyond the value's MaxAge. On a machine
// that stands still for too long in between, the value expires, and the check begins anew.
func (s *suite) touch() {
	for i := range 10 {
		if s.touchInTime(fmt.Sprint("k", i)) {
			return
		}
	}
	s.Fatal("the machine is too busy to read a value before its TTL is over")
}

func (s *suite) touchInTime(key string) bool {
	unit, filled := s.LeaseTTL, time.Now()
	l := s.lease(s.A, key, nil)
	if _, err := l.Fill(s.Context(), remote.Fill{Payload: []byte("v"), TTL: 2 * unit, MaxAge: 3 * unit}); err != nil {
		s.Fatal(err)
	}
	s.Sleep(unit / 2)
	touched := time.Now()
	left := s.touched(s.B, key)
	if left == 0 && time.Since(filled) > 2*unit {
		return false
	}
	if left <= unit*7/4 || left > 2*unit {
		s.Fatalf("a touch left %v of a TTL of %v", left, 2*unit)
	}
	s.Sleep(unit * 7 / 4) // 2.25 units since the lease, past the first TTL
	rec, err := s.A.Get(s.Context(), key, false)
	if err != nil {
		s.Fatal(err)
	}
	if rec.State == remote.StateAbsent && time.Since(touched) > 2*unit {
		return false
	}
	if rec.State != remote.StateValue || string(rec.Payload) != "v" || rec.TTL != 2*unit {
		s.Fatalf("after a touch: %v %q with a TTL of %v", rec.State, rec.Payload, rec.TTL)
	}
	if left := s.touched(s.A, key); left > unit {
		s.Fatalf("a touch left %v, with less than %v to the MaxAge", left, unit)
	}
	s.Sleep(unit)
	s.wantState(s.B, key, remote.StateAbsent)
	return true
}

// ageOfLoad: MaxAge counts from the grant of the lease. A Fill after that age succeeds, and
// stores nothing.
func (s *suite) ageOfLoad() {
	for key, maxAge := range map[string]time.Duration{"young": 2 * s.LeaseTTL, "old": s.LeaseTTL / 4} {
		l := s.lease(s.A, key, nil)
		s.Sleep(s.LeaseTTL / 2)
		held, err := l.Fill(s.Context(), remote.Fill{Payload: []byte("v"), TTL: maxAge, MaxAge: maxAge})
		if err != nil || !held {
			s.Fatalf("Fill: held %v, err %v", held, err)
		}
	}
	if rec := s.wantValue(s.B, "young", "v"); rec.Left > s.LeaseTTL*3/2 {
		s.Fatalf("%v are left, with %v to the MaxAge", rec.Left, s.LeaseTTL*3/2)
	}
	s.wantState(s.B, "old", remote.StateAbsent)
}

func (s *suite) touched(r remote.Tier, key string) time.Duration {
	s.Helper()
	left, err := r.Touch(s.Context(), key)
	if err != nil {
		s.Fatalf("Touch: %v", err)
	}
	return left
}

// touchOthers: Touch prolongs no lease, no tombstone and no corrupt record, and creates no
// record.
func (s *suite) touchOthers() {
	s.lease(s.A, "leased", nil)
	s.Crash()
	s.Tombstone("guarded", s.LeaseTTL)
	s.Corrupt("corrupt")
	for _, key := range []string{"absent", "leased", "guarded", "corrupt"} {
		if left := s.touched(s.B, key); left != 0 {
			s.Fatalf("a touch of the %s key left %v", key, left)
		}
	}
	s.wantState(s.B, "absent", remote.StateAbsent)
	s.wantState(s.B, "corrupt", remote.StateCorrupt)
	s.Sleep(s.LeaseTTL + s.LeaseTTL/4)
	s.wantState(s.B, "leased", remote.StateAbsent)
	s.wantState(s.B, "guarded", remote.StateAbsent)
}

// Keys are texts that an implementation might take apart or confuse. The tests of whole
// caches use them too.
var Keys = []string{
	"", " ", "k", "k ", "K", "k\n", "k\r\n", "k\x00", "k\x00k", "\xff\xfe", "{k}", "{}k", "k}{", "{", "a:b:c",
	"ключ", "$6\r\nfoobar\r\n", strings.Repeat("long", 2500),
}

// keys: keys may be any bytes, and are never taken for each other.
func (s *suite) keys() {
	for _, key := range Keys {
		s.fillKey(s.A, key, "value of "+key)
	}
	for _, key := range Keys {
		s.wantValue(s.B, key, "value of "+key)
	}
	s.delete(s.A, Keys...)
	for _, key := range Keys {
		s.wantState(s.B, key, remote.StateAbsent)
	}
}

// deleteMany: Invalidate takes more keys than fit into one command, and none.
func (s *suite) deleteMany() {
	const n = 1200
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strings.Repeat("k", i+1)
	}
	for _, i := range []int{0, n / 2, n - 1} {
		s.fillKey(s.A, keys[i], "v")
	}
	s.fillKey(s.A, "other", "v")
	s.delete(s.B, keys...)
	for _, i := range []int{0, n / 2, n - 1} {
		s.wantState(s.A, keys[i], remote.StateAbsent)
	}
	s.wantValue(s.A, "other", "v")
	s.delete(s.B)
}

// endedContext: a call with an ended context changes nothing, and returns an error.
func (s *suite) endedContext() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if _, err := s.A.Get(ctx, "k", false); err == nil {
		s.Fatal("Get with an ended context: no error")
	}
	if _, _, err := s.A.Lease(ctx, "k", long, nil); err == nil {
		s.Fatal("Lease with an ended context: no error")
	}
	if err := s.A.Invalidate(ctx, []string{"k"}, 0); err == nil {
		s.Fatal("Invalidate with an ended context: no error")
	}
	s.Sleep(s.LeaseTTL / 4)
	s.wantState(s.B, "k", remote.StateAbsent)
}
