package cachetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// tagPositions returns the positions of tags that r returns.
func (s *suite) tagPositions(r remote.Tier, tags ...string) []*remote.Position {
	s.Helper()
	found, err := r.TagPositions(s.Context(), tags...)
	if err != nil {
		s.Fatalf("TagPositions: %v", err)
	}
	if len(found) != len(tags) {
		s.Fatalf("TagPositions of %d tags returned %d", len(tags), len(found))
	}
	return found
}

// wantTag checks that both instances return want as the position of a tag.
func (s *suite) wantTag(tag string, want remote.Position) {
	s.Helper()
	for _, r := range []remote.Tier{s.A, s.B} {
		if got := s.tagPositions(r, tag)[0]; got == nil || *got != want {
			s.Fatalf("%s is recorded at %v, want %v", tag, got, want)
		}
	}
}

// recordTags records a position for the tags that have none.
func (s *suite) recordTags(r remote.Tier, at remote.Position, keep time.Duration, tags ...string) {
	s.Helper()
	if err := r.RecordTags(s.Context(), remote.Position{}, at, keep, tags...); err != nil {
		s.Fatalf("RecordTags: %v", err)
	}
}

// positions: Position, which stamps rely on, is not before any entry that the instance has
// appended or received. The positions of entries grow.
func (s *suite) positions() {
	b := s.follow(s.B, "c")
	s.follow(s.A, "c")
	last, _ := b.began()
	for i, append := range []func() error{
		func() error { return s.A.Announce(s.Context(), "c:0:0") },
		func() error { return s.A.Invalidate(s.Context(), []string{"c:0:1"}, 0) },
		func() error { return s.A.Guard(s.Context(), remote.Token{3}, []string{"c:0:2"}, long) },
		func() error { return s.A.Unguard(s.Context(), remote.Token{3}, []string{"c:0:3"}, 0) },
		func() error { _, err := s.A.InvalidateTags(s.Context(), []string{"c:0:4"}, long); return err },
	} {
		name := fmt.Sprintf("c:0:%d", i)
		if err := append(); err != nil {
			s.Fatal(err)
		}
		heard := s.A.Observed("c")
		var entry told
		s.until("the entry was not told", func() (ok bool) { entry, ok = b.find(name); return ok })
		if !last.Before(entry.at) {
			s.Errorf("an entry at %v comes after %v", entry.at, last)
		}
		if heard.Before(entry.at) {
			s.Errorf("who appended at %v has only heard of %v", entry.at, heard)
		}
		if heard := s.B.Observed("c"); heard.Before(entry.at) {
			s.Errorf("who was told of %v has only heard of %v", entry.at, heard)
		}
		last = entry.at
	}
}

// tagIsInvalidated: InvalidateTags delivers the tags to followers, and records for each tag
// a position later than everything before the call. No entry of the call is later than the
// returned position.
func (s *suite) tagIsInvalidated() {
	b := s.follow(s.B, "c")
	if got := s.tagPositions(s.A, "c::t")[0]; got != nil {
		s.Fatalf("an unknown tag is recorded at %v", got)
	}
	for range 2 {
		s.announce(s.A, "c:0:before")
		before := s.A.Observed("c")
		at := s.invalidateTags(s.A, long, "c::t", "c::u")
		if s.A.Observed("c").Before(at) {
			s.Errorf("InvalidateTags returned %v, and its instance has heard of %v", at, s.A.Observed("c"))
		}
		heard := s.heard(b, s.A, "c")
		for _, tag := range []string{"c::t", "c::u"} {
			if !slices.Contains(names(heard), tag) {
				s.Errorf("%s was not told", tag)
			}
		}
		for _, c := range heard {
			if at.Before(c.at) {
				s.Errorf("InvalidateTags returned %v, and %s was told at %v", at, c.name, c.at)
			}
		}
		for _, r := range []remote.Tier{s.A, s.B} {
			for i, got := range s.tagPositions(r, "c::t", "c::none", "c::u") {
				if (got == nil) != (i == 1) {
					s.Fatalf("tag %d is recorded at %v", i, got)
				}
				if got != nil && !before.Before(*got) {
					s.Errorf("tag %d is recorded at %v, which is not after %v", i, *got, before)
				}
			}
		}
	}
}

// recordedTags: RecordTags for tags without a record never changes a recorded position.
// InvalidateTags never replaces a position by an earlier one.
func (s *suite) recordedTags() {
	s.follow(s.A, "c")
	s.announce(s.A, "c:0:k")
	at := s.A.Observed("c")
	later := remote.Position{Time: at.Time + 1<<20}
	s.recordTags(s.A, at, long, "c::t", "c::u")
	s.recordTags(s.B, later, long, "c::t")
	s.wantTag("c::t", at)
	s.recordTags(s.B, remote.Position{}, long, "c::u", "c::new")
	s.wantTag("c::u", at)
	s.wantTag("c::new", remote.Position{})
	s.recordTags(s.A, at, long)

	s.invalidateTags(s.A, long, "c::t")
	invalidated := s.tagPositions(s.B, "c::t")[0]
	if invalidated == nil || !at.Before(*invalidated) {
		s.Fatalf("after InvalidateTags the tag is recorded at %v, want after %v", invalidated, at)
	}
	s.recordTags(s.B, at, long, "c::t")
	s.wantTag("c::t", *invalidated)

	s.recordTags(s.B, later, long, "c::later")
	s.invalidateTags(s.A, long, "c::later")
	s.wantTag("c::later", later)
}

// tagsAreKept: a recorded position is kept for the longest keep of all calls, and no
// longer.
func (s *suite) tagsAreKept() {
	unit := s.LeaseTTL / 2
	at := s.invalidateTags(s.A, unit, "c::brief", "c::renewed")
	s.recordTags(s.A, at, unit, "c::recorded")
	s.invalidateTags(s.A, 4*unit, "c::invalidated")
	s.recordTags(s.A, at, unit, "c::invalidated") // shortens nothing
	s.recordTags(s.A, at, 4*unit, "c::renewed")
	s.invalidateTags(s.A, unit, "c::renewed") // shortens nothing either
	s.Sleep(2 * unit)
	for _, tag := range []string{"c::brief", "c::recorded"} {
		if got := s.tagPositions(s.B, tag)[0]; got != nil {
			s.Errorf("%s is kept beyond its time", tag)
		}
	}
	for _, tag := range []string{"c::renewed", "c::invalidated"} {
		if got := s.tagPositions(s.B, tag)[0]; got == nil {
			s.Errorf("%s is not kept for its time", tag)
		}
	}
}

// manyNames: the methods of the log take more names than fit into one command, and keep
// their order.
func (s *suite) manyNames() {
	b := s.follow(s.B, "c")
	var keys, tags []string
	for i := range 1200 {
		keys = append(keys, fmt.Sprintf("c:0:%d %s", i, strings.Repeat("k", i)))
		tags = append(tags, fmt.Sprintf("c::%d", i))
	}
	for what, do := range map[string]func() error{
		"Announce":   func() error { return s.A.Announce(s.Context(), keys...) },
		"Invalidate": func() error { return s.A.Invalidate(s.Context(), keys, 0) },
		"Guard":      func() error { return s.A.Guard(s.Context(), remote.Token{4}, keys, s.LeaseTTL/10) },
		"Unguard":    func() error { return s.A.Unguard(s.Context(), remote.Token{4}, keys, 0) },
	} {
		if err := do(); err != nil {
			s.Fatalf("%s: %v", what, err)
		}
		if got := names(s.heard(b, s.A, "c")); !slices.Equal(got, keys) {
			s.Fatalf("of the %d keys of %s %d were told, or in another order", len(keys), what, len(got))
		}
	}
	s.recordTags(s.A, remote.Position{}, long, tags...)
	at := s.invalidateTags(s.A, long, tags...)
	heard := make(map[string]bool)
	for _, c := range s.heard(b, s.A, "c") {
		heard[c.name] = true
		if at.Before(c.at) {
			s.Fatalf("InvalidateTags returned %v, and %s was told at %v", at, c.name, c.at)
		}
	}
	for i, got := range s.tagPositions(s.B, tags...) {
		if got == nil || *got == (remote.Position{}) || !heard[tags[i]] {
			s.Fatalf("tag %d is recorded at %v; told: %v", i, got, heard[tags[i]])
		}
	}
}

// namesOfAnyBytes: keys and tags may be any bytes.
func (s *suite) namesOfAnyBytes() {
	b := s.follow(s.B, "c")
	var keys, tags []string
	for _, key := range Keys {
		keys = append(keys, "c:0:"+key)
		if len(key) <= remote.MaxTagLength {
			tags = append(tags, "c::"+key)
		}
	}
	s.announce(s.A, keys...)
	if got := names(s.heard(b, s.A, "c")); !slices.Equal(got, keys) {
		s.Fatalf("told of %q, want %q", got, keys)
	}
	for i, tag := range tags {
		s.recordTags(s.A, remote.Position{Time: uint64(i)}, long, tag)
	}
	for i, got := range s.tagPositions(s.B, tags...) {
		if want := (remote.Position{Time: uint64(i)}); got == nil || *got != want {
			s.Errorf("%q is recorded at %v, want %v", tags[i], got, want)
		}
	}
	s.invalidateTags(s.A, long, tags...)
	heard := names(s.heard(b, s.A, "c"))
	for _, tag := range tags {
		if !slices.Contains(heard, tag) {
			s.Errorf("%q was not told", tag)
		}
	}
}

// stampsAndTags: every method that reads a value returns the stamp and the tags of the
// value's fill.
func (s *suite) stampsAndTags() {
	var many []string
	for i := range remote.MaxTags {
		many = append(many, strings.Repeat(string(rune('a'+i%26)), remote.MaxTagLength-3)+fmt.Sprintf("%03d", i))
	}
	for i, want := range []remote.Fill{
		{Payload: []byte("v")},
		{Payload: []byte("v"), Stamp: remote.Position{Time: 1, Seq: 2}, Tags: []string{"t"}},
		{Payload: nil, Stamp: remote.Position{Time: 1 << 41}, Tags: []string{"z", "a", " ", "\x00", "\xff\xfe", "ключ", "a:b", "c::t"}},
		{NotFound: true, Stamp: remote.Position{Time: math.MaxUint64, Seq: math.MaxUint64}},
		{Payload: []byte(strings.Repeat("v", 1<<16)), Stamp: remote.Position{Seq: 1 << 63}, Tags: many},
	} {
		want.TTL, want.MaxAge = long, long
		key := fmt.Sprintf("c:0:%d", i)
		if held, err := s.lease(s.A, key, nil).Fill(s.Context(), want); err != nil || !held {
			s.Fatalf("Fill: held %v, err %v", held, err)
		}
		s.wantFilled(s.get(s.B, key), want)
		s.wantFilled(s.wait(s.B, key), want)
		if _, rec, err := s.B.Lease(s.Context(), key, long, nil); err != nil {
			s.Fatalf("Lease: %v", err)
		} else {
			s.wantFilled(rec, want)
		}
		s.Sleep(s.LeaseTTL / 10)
		s.touched(s.B, key)
		s.wantFilled(s.get(s.A, key), want)
	}
}

func (s *suite) wantFilled(rec remote.Record, want remote.Fill) {
	s.Helper()
	if rec.State != remote.StateValue || rec.NotFound != want.NotFound || string(rec.Payload) != string(want.Payload) {
		s.Fatalf("the record is %v, not found %v, %.40q", rec.State, rec.NotFound, rec.Payload)
	}
	if rec.Stamp != want.Stamp || !slices.Equal(rec.Tags, want.Tags) {
		s.Fatalf("the stamp is %v, the tags %.80q; want %v, %.80q", rec.Stamp, rec.Tags, want.Stamp, want.Tags)
	}
}

// endedContextOfTheLog: a call with an ended context appends nothing, and returns an error.
func (s *suite) endedContextOfTheLog() {
	b := s.follow(s.B, "c")
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if err := s.A.Announce(ctx, "c:0:k"); err == nil {
		s.Error("Announce with an ended context: no error")
	}
	if _, err := s.A.InvalidateTags(ctx, []string{"c::t"}, long); err == nil {
		s.Error("InvalidateTags with an ended context: no error")
	}
	if err := s.A.Guard(ctx, remote.Token{5}, []string{"c:0:k"}, long); err == nil {
		s.Error("Guard with an ended context: no error")
	}
	if _, err := s.A.TagPositions(ctx, "c::t"); err == nil {
		s.Error("TagPositions with an ended context: no error")
	}
	if heard := s.heard(b, s.A, "c"); len(heard) > 0 {
		s.Errorf("told of %v", names(heard))
	}
	s.wantState(s.B, "c:0:k", remote.StateAbsent)
}
