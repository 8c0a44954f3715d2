package cachetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// listener is a Follower that notes what it is told.
type listener struct {
	s    *suite
	busy atomic.Bool       // a method that tells of an entry runs
	seen func(name string) // called for each name, before it is noted; nil for nothing

	mu    sync.Mutex // guards all below
	since []cache.Position
	told  []told
}

// told is one call of Invalidated.
type told struct {
	name string
	at   cache.Position
	own  bool
}

func (l *listener) Since(at cache.Position, complete bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if complete && len(l.since) == 0 {
		l.s.Errorf("a new follower was told that it missed nothing before %v", at)
	}
	l.since = append(l.since, at)
}

func (l *listener) Lost() {}

func (l *listener) Invalidated(name string, at cache.Position, own bool) {
	if !l.busy.CompareAndSwap(false, true) {
		l.s.Errorf("a follower was told of two entries side by side")
	}
	defer l.busy.Store(false)
	if l.seen != nil {
		l.seen(name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, told{name, at, own})
}

// began returns where the log was first read from.
func (l *listener) began() (at cache.Position, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.since) == 0 {
		return at, false
	}
	return l.since[0], true
}

// find returns the first call that told of name.
func (l *listener) find(name string) (told, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.told, func(c told) bool { return c.name == name })
	if i < 0 {
		return told{}, false
	}
	return l.told[i], true
}

// follow makes r tell a listener of that cache, and waits until it does.
func (s *suite) follow(r cache.Remote, name string) *listener {
	s.Helper()
	l := &listener{s: s}
	s.followWith(r, name, l)
	return l
}

// followWith makes r tell l of that cache until stop is called or the check ends, and
// waits until it does.
func (s *suite) followWith(r cache.Remote, name string, l *listener) (stop func()) {
	s.Helper()
	stop, err := r.Follow(name, l)
	if err != nil {
		s.Fatalf("Follow: %v", err)
	}
	s.Cleanup(stop)
	s.until("Since was not called", func() bool { _, ok := l.began(); return ok })
	return stop
}

// until waits until ok, for as long as anything may take, and fails with what then.
func (s *suite) until(what string, ok func() bool) {
	s.Helper()
	for range 1000 {
		if ok() {
			return
		}
		s.Sleep(s.LeaseTTL / 100)
	}
	s.Fatal(what)
}

// announce appends keys to the log.
func (s *suite) announce(r cache.Remote, keys ...string) {
	s.Helper()
	if err := r.Announce(s.Context(), keys...); err != nil {
		s.Fatalf("Announce: %v", err)
	}
}

// invalidateTags appends tags to the log.
func (s *suite) invalidateTags(r cache.Remote, keep time.Duration, tags ...string) cache.Position {
	s.Helper()
	at, err := r.InvalidateTags(s.Context(), tags, keep)
	if err != nil {
		s.Fatalf("InvalidateTags: %v", err)
	}
	return at
}

// heard returns, and forgets, what l was told until now. That it is all shows a last
// entry, which r appends about the cache that l follows.
func (s *suite) heard(l *listener, r cache.Remote, name string) []told {
	s.Helper()
	ends := name + ":0:the end of "
	end := fmt.Sprintf("%s%p", ends, l)
	s.announce(r, end)
	s.until("the last entry was not told", func() bool { _, ok := l.find(end); return ok })
	l.mu.Lock()
	defer l.mu.Unlock()
	heard := l.told
	l.told = nil
	return slices.DeleteFunc(heard, func(c told) bool { return strings.HasPrefix(c.name, ends) })
}

func names(calls []told) []string {
	var names []string
	for _, c := range calls {
		names = append(names, c.name)
	}
	return names
}

// tells is what everything that appends to the log must do: each instance is told of
// it, in one order, and one of them that it was its own.
func (s *suite) tells() {
	a, b := s.follow(s.A, "c"), s.follow(s.B, "c")
	ban := cache.Token{1}
	entries := []struct {
		names  []string
		append func() error
	}{
		{[]string{"c:0:announced"}, func() error { return s.A.Announce(s.Context(), "c:0:announced") }},
		{[]string{"c:0:1", "c:0:2"}, func() error { return s.A.Invalidate(s.Context(), []string{"c:0:1", "c:0:2"}, 0) }},
		{[]string{"c:0:held"}, func() error { return s.A.Invalidate(s.Context(), []string{"c:0:held"}, long) }},
		{[]string{"c:0:banned"}, func() error { return s.A.Ban(s.Context(), ban, []string{"c:0:banned"}, long) }},
		{[]string{"c:0:banned"}, func() error { return s.A.Lift(s.Context(), ban, []string{"c:0:banned"}, 0) }},
		{[]string{"c:0:banned"}, func() error { return s.A.Lift(s.Context(), ban, []string{"c:0:banned"}, long) }},
	}
	for _, e := range entries {
		if err := e.append(); err != nil {
			s.Fatalf("%v: %v", e.names, err)
		}
	}
	for who, l := range map[string]*listener{"A": a, "B": b} {
		heard := s.heard(l, s.A, "c")
		last, _ := l.began()
		for _, e := range entries {
			if len(heard) < len(e.names) || !slices.Equal(names(heard[:len(e.names)]), e.names) {
				s.Fatalf("%s was told of %v, want %v", who, names(heard), e.names)
			}
			first := heard[0].at
			for _, c := range heard[:len(e.names)] {
				if c.own != (who == "A") {
					s.Errorf("%s was told of %s with own %v", who, c.name, c.own)
				}
				if !last.Before(c.at) || c.at.Before(first) {
					s.Errorf("%s was told of %s at %v, after %v", who, c.name, c.at, last)
				}
			}
			last = heard[len(e.names)-1].at
			heard = heard[len(e.names):]
		}
		if len(heard) > 0 {
			s.Errorf("%s was also told of %v", who, names(heard))
		}
	}
}

func (s *suite) tellsTheRightOnes() {
	c, cc := s.follow(s.B, "c"), s.follow(s.B, "cc")
	s.announce(s.A, "c:0:k")
	s.announce(s.A, "cc:0:k")
	s.announce(s.A, "d:0:k")
	s.announce(s.A, "c:1:d:0:k")
	s.invalidateTags(s.A, long, "d::t")
	s.invalidateTags(s.A, long, "cc::c")
	if got := names(s.heard(c, s.A, "c")); !slices.Equal(got, []string{"c:0:k", "c:1:d:0:k"}) {
		s.Errorf("the follower of c was told of %q", got)
	}
	if got := slices.Compact(names(s.heard(cc, s.A, "cc"))); !slices.Equal(got, []string{"cc:0:k", "cc::c"}) {
		s.Errorf("the follower of cc was told of %q", got)
	}
}

// tellsOfWhatIsDone: whoever has been told, and reads, does not find the old record.
// The reads are made before the next entry can be told.
func (s *suite) tellsOfWhatIsDone() {
	found := make(chan cache.State, 100)
	l := &listener{s: s, seen: func(name string) {
		if name != "c:0:k" {
			return
		}
		rec, err := s.B.Get(context.WithoutCancel(s.Context()), name, false)
		if err != nil {
			s.Errorf("Get: %v", err)
		}
		found <- rec.State
	}}
	s.followWith(s.B, "c", l)
	ban := cache.Token{2}
	for _, step := range []struct {
		what string
		want cache.State
		do   func() error
	}{
		{"Invalidate", cache.StateAbsent, func() error { return s.A.Invalidate(s.Context(), []string{"c:0:k"}, 0) }},
		{"Ban", cache.StateTombstone, func() error { return s.A.Ban(s.Context(), ban, []string{"c:0:k"}, long) }},
		{"Lift", cache.StateAbsent, func() error { return s.A.Lift(s.Context(), ban, []string{"c:0:k"}, 0) }},
		{"Invalidate with a hold", cache.StateTombstone, func() error { return s.A.Invalidate(s.Context(), []string{"c:0:k"}, long) }},
	} {
		if step.what != "Lift" {
			s.fillKey(s.A, "c:0:k", "old")
		}
		if err := step.do(); err != nil {
			s.Fatalf("%s: %v", step.what, err)
		}
		s.heard(l, s.A, "c")
		if len(found) != 1 {
			s.Fatalf("%s was told %d times", step.what, len(found))
		}
		if got := <-found; got != step.want {
			s.Fatalf("who was told of %s found %v, want %v", step.what, got, step.want)
		}
	}
}

// tellsAllAfterSince: of what is appended while a follower comes, nothing is left out
// that comes after the position that it was given.
func (s *suite) tellsAllAfterSince() {
	witness := s.follow(s.A, "c")
	const n = 200
	name := func(i int) string { return fmt.Sprintf("c:0:%d", i) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			if err := s.A.Announce(context.WithoutCancel(s.Context()), name(i)); err != nil {
				s.Errorf("Announce: %v", err)
			}
		}
	}()
	l := s.follow(s.B, "c")
	<-done
	all, got := s.heard(witness, s.A, "c"), s.heard(l, s.A, "c")
	began, _ := l.began()
	if len(all) != n {
		s.Fatalf("the witness was told of %d entries, want %d", len(all), n)
	}
	for i, c := range all {
		if began.Before(c.at) {
			if want := names(all[i:]); !slices.Equal(names(got[max(0, len(got)-len(want)):]), want) {
				s.Fatalf("after %v the follower was told of %d entries, want the last %d", began, len(got), len(want))
			}
			return
		}
	}
}

func (s *suite) stopsTelling() {
	l := &listener{s: s}
	stop := s.followWith(s.B, "c", l)
	s.announce(s.A, "c:0:1")
	s.until("the entry was not told", func() bool { _, ok := l.find("c:0:1"); return ok })
	stop()
	other := s.follow(s.B, "c")
	s.announce(s.A, "c:0:2")
	s.heard(other, s.A, "c")
	if _, ok := l.find("c:0:2"); ok {
		s.Fatal("a follower was told after stop")
	}
}

// oneFollower: a name has one follower of a Remote at a time, others may have theirs,
// and a stop that is called late, or again, does not end what came after it.
func (s *suite) oneFollower() {
	first := &listener{s: s}
	stop := s.followWith(s.B, "c", first)
	refused := &listener{s: s}
	if _, err := s.B.Follow("c", refused); err != cache.ErrFollowed {
		s.Fatalf("Follow of a name that is followed: %v, want ErrFollowed", err)
	}
	s.follow(s.B, "d")
	s.follow(s.A, "c")
	s.heard(first, s.A, "c") // it still is told
	stop()
	second := s.follow(s.B, "c")
	stop()
	s.heard(second, s.A, "c")
	if _, ok := refused.began(); ok {
		s.Error("a follower that was refused was told since when")
	}
}
