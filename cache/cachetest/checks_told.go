package cachetest

import (
	"math"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// toldPosition: for Told, which HoldOff and the recording of tags rely on, an entry counts
// as delivered when Invalidated has returned, and not before.
func (s *suite) toldPosition() {
	telling, proceed := make(chan struct{}), make(chan struct{})
	l := &listener{s: s, seen: func(name string) {
		if name == "c:0:slow" {
			close(telling)
			<-proceed
		}
	}}
	s.followWith(s.B, "c", l)
	s.announce(s.A, "c:0:first")
	s.until("the entry was not told", func() bool { _, ok := l.find("c:0:first"); return ok })
	s.announce(s.A, "c:0:slow")
	appended := time.Now()
	<-telling
	during, _ := s.B.Delivered("c")
	close(proceed)
	var slow told
	s.until("the entry was not told", func() (ok bool) { slow, ok = l.find("c:0:slow"); return ok })
	if !during.Before(slow.at) {
		s.Errorf("while %v was being told, %v counted as told", slow.at, during)
	}
	s.until("what was told does not count", func() bool {
		at, when := s.B.Delivered("c")
		return !at.Before(slow.at) && !when.Before(appended)
	})
	if at, when := s.B.Delivered("c"); when.After(time.Now()) || s.B.Observed("c").Before(at) {
		s.Errorf("told of %v at %v, having heard of %v", at, when, s.B.Observed("c"))
	}
}

// end: End returns the position of the last entry, whichever instance appended it.
func (s *suite) end() {
	l := s.follow(s.B, "c")
	for _, name := range []string{"c:0:1", "c:0:2", "c:0:3"} {
		before := s.endOf(s.A)
		s.announce(s.B, name)
		after := s.endOf(s.A)
		var entry told
		s.until("the entry was not told", func() (ok bool) { entry, ok = l.find(name); return ok })
		if !before.Before(entry.at) || after != entry.at {
			s.Errorf("the end went from %v to %v with an entry at %v", before, after, entry.at)
		}
	}
	at := s.invalidateTags(s.A, long, "c::t")
	if end := s.endOf(s.B); end.Before(at) {
		s.Errorf("the end is %v, and InvalidateTags returned %v", end, at)
	}
}

func (s *suite) endOf(r remote.Tier) remote.Position {
	s.Helper()
	end, err := r.End(s.Context(), "c")
	if err != nil {
		s.Fatalf("End: %v", err)
	}
	return end
}

// replaceTags replaces the position was of tags.
func (s *suite) replaceTags(r remote.Tier, was, at remote.Position, keep time.Duration, tags ...string) {
	s.Helper()
	if err := r.RecordTags(s.Context(), was, at, keep, tags...); err != nil {
		s.Fatalf("RecordTags: %v", err)
	}
}

// barredTags: a claim, which is a Never position, is replaced by an invalidation, or by
// RecordTags with the claim as was, and by no other call. A claim that is gone is not
// replaced.
func (s *suite) barredTags() {
	bar := remote.Position{Time: math.MaxUint64, Seq: math.MaxUint64 - 1}
	other := remote.Position{Time: math.MaxUint64, Seq: 1}
	at := s.invalidateTags(s.B, long, "c::another")

	s.recordTags(s.A, bar, long, "c::t", "c::u")
	s.wantTag("c::t", bar)
	s.recordTags(s.B, other, long, "c::t")
	s.wantTag("c::t", bar)
	s.replaceTags(s.B, other, at, long, "c::t")
	s.wantTag("c::t", bar)
	s.replaceTags(s.A, bar, at, long, "c::t", "c::none")
	s.wantTag("c::t", at)
	if got := s.tagPositions(s.B, "c::none")[0]; got != nil {
		s.Errorf("a bar that has gone was replaced by %v", got)
	}

	s.invalidateTags(s.B, long, "c::u")
	invalidated := s.tagPositions(s.A, "c::u")[0]
	if invalidated == nil || invalidated.Never() || !at.Before(*invalidated) {
		s.Fatalf("after InvalidateTags a barred tag is recorded at %v, want after %v", invalidated, at)
	}
	s.replaceTags(s.A, bar, at, long, "c::u")
	s.wantTag("c::u", *invalidated)
}

// barsAreBrief: a claim stands for the keep of its call, which no other instance prolongs.
// A replacement stands for the keep of its own call. RecordTags with a zero keep removes a
// claim, for the owner of the claim only.
func (s *suite) barsAreBrief() {
	unit := s.LeaseTTL / 2
	bar := remote.Position{Time: math.MaxUint64, Seq: 7}
	s.recordTags(s.A, bar, unit, "c::left", "c::replaced", "c::invalidated")
	s.recordTags(s.B, remote.Position{Time: 1}, long, "c::left")
	s.recordTags(s.B, remote.Position{Time: math.MaxUint64, Seq: 8}, long, "c::left")
	s.replaceTags(s.A, bar, remote.Position{Time: 1}, long, "c::replaced")
	s.invalidateTags(s.B, long, "c::invalidated")
	s.recordTags(s.A, bar, long, "c::removed", "c::kept")
	s.replaceTags(s.B, remote.Position{Time: math.MaxUint64, Seq: 8}, remote.Position{}, 0, "c::removed")
	s.wantTag("c::removed", bar)
	s.replaceTags(s.A, bar, remote.Position{}, 0, "c::removed")
	if got := s.tagPositions(s.B, "c::removed")[0]; got != nil {
		s.Errorf("a bar that was taken away is at %v", got)
	}
	s.wantTag("c::kept", bar)
	s.Sleep(2 * unit)
	got := s.tagPositions(s.B, "c::left", "c::replaced", "c::invalidated")
	if got[0] != nil {
		s.Errorf("a bar stands beyond its time, at %v", got[0])
	}
	if got[1] == nil || got[2] == nil {
		s.Errorf("what replaced a bar went with it: %v, %v", got[1], got[2])
	}
}
