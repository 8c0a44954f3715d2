package cachetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// listener is a Follower that notes the calls of its methods.
type listener struct {
	s    *suite
	busy atomic.Bool       // Invalidated is running
	seen func(name string) // called for each name, before it is noted; nil for nothing

	mu    sync.Mutex // guards all below
	since []remote.Position
	told  []told
}

// told is one call of Invalidated or Replaced.
type told struct {
	name string
	at   remote.Position
	own  bool
}

func (l *listener) Since(at remote.Position, complete bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if complete && len(l.since) == 0 {
		l.s.Errorf("a new follower was told that it missed nothing before %v", at)
	}
	l.since = append(l.since, at)
}

func (l *listener) Lost() {}

func (l *listener) Recovered(context.Context) {}

func (l *listener) Reverted(remote.Position, []string) {}

func (l *listener) Replaced(name string, at remote.Position, own bool) { l.Invalidated(name, at, own) }

func (l *listener) Invalidated(name string, at remote.Position, own bool) {
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

// began returns the position of the first call of Since.
func (l *listener) began() (at remote.Position, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.since) == 0 {
		return at, false
	}
	return l.since[0], true
}

// find returns the first call of Invalidated with name.
func (l *listener) find(name string) (told, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.told, func(c told) bool { return c.name == name })
	if i < 0 {
		return told{}, false
	}
	return l.told[i], true
}

// follow makes a listener follow that cache on r, and waits until Since has been called.
func (s *suite) follow(r remote.Tier, name string) *listener {
	s.Helper()
	l := &listener{s: s}
	s.followWith(r, name, l)
	return l
}

// followWith makes l follow that cache on r, until stop is called or the check ends. It
// waits until Since has been called.
func (s *suite) followWith(r remote.Tier, name string, l *listener) (stop func()) {
	s.Helper()
	stop, err := r.Follow(name, l)
	if err != nil {
		s.Fatalf("Follow: %v", err)
	}
	s.Cleanup(stop)
	s.until("Since was not called", func() bool { _, ok := l.began(); return ok })
	return stop
}

// until waits until ok returns true. It fails with the text what after 10 lease TTLs.
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
func (s *suite) announce(r remote.Tier, keys ...string) {
	s.Helper()
	if err := r.Announce(s.Context(), keys...); err != nil {
		s.Fatalf("Announce: %v", err)
	}
}

// invalidateTags invalidates tags, and returns the position.
func (s *suite) invalidateTags(r remote.Tier, keep time.Duration, tags ...string) remote.Position {
	s.Helper()
	at, err := r.InvalidateTags(s.Context(), tags, keep)
	if err != nil {
		s.Fatalf("InvalidateTags: %v", err)
	}
	return at
}

// heard returns the calls of Invalidated that l has noted so far, and removes them from l.
// So that no call is missing, r first appends a last entry about the cache, and heard waits
// for l to receive the entry.
func (s *suite) heard(l *listener, r remote.Tier, name string) []told {
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

// tells: every method that appends keys to the log delivers the names to each instance, in
// one order and at growing positions. The appending instance receives its names with own
// set.
func (s *suite) tells() {
	a, b := s.follow(s.A, "c"), s.follow(s.B, "c")
	token := remote.Token{1}
	entries := []struct {
		names  []string
		append func() error
	}{
		{[]string{"c:0:announced"}, func() error { return s.A.Announce(s.Context(), "c:0:announced") }},
		{[]string{"c:0:1", "c:0:2"}, func() error { return s.A.Invalidate(s.Context(), []string{"c:0:1", "c:0:2"}, 0) }},
		{[]string{"c:0:held"}, func() error { return s.A.Invalidate(s.Context(), []string{"c:0:held"}, long) }},
		{[]string{"c:0:guarded"}, func() error { return s.A.Guard(s.Context(), token, []string{"c:0:guarded"}, long) }},
		{[]string{"c:0:guarded"}, func() error { return s.A.Unguard(s.Context(), token, []string{"c:0:guarded"}, 0) }},
		{[]string{"c:0:guarded"}, func() error { return s.A.Unguard(s.Context(), token, []string{"c:0:guarded"}, long) }},
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

// tellsTheRightOnes: a follower receives the entries of its cache, and no others: the cache
// is the part of a name before the first colon.
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

// tellsOfWhatIsDone: the record is changed before the entry is delivered: a follower that
// reads the key does not find the old record. The check reads within Invalidated, before
// the next entry can be delivered.
func (s *suite) tellsOfWhatIsDone() {
	found := make(chan remote.State, 100)
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
	token := remote.Token{2}
	for _, step := range []struct {
		what string
		want remote.State
		do   func() error
	}{
		{"Invalidate", remote.StateAbsent, func() error { return s.A.Invalidate(s.Context(), []string{"c:0:k"}, 0) }},
		{"Guard", remote.StateTombstone, func() error { return s.A.Guard(s.Context(), token, []string{"c:0:k"}, long) }},
		{"Unguard", remote.StateAbsent, func() error { return s.A.Unguard(s.Context(), token, []string{"c:0:k"}, 0) }},
		{"Invalidate with a hold", remote.StateTombstone, func() error { return s.A.Invalidate(s.Context(), []string{"c:0:k"}, long) }},
	} {
		if step.what != "Unguard" {
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

// tellsAllAfterSince: a follower that starts while entries are appended receives every
// entry after the position of Since.
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

// stopsTelling: a follower receives nothing that is appended after stop.
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

// oneFollower: a second follower of a name is refused with ErrFollowed on the same
// instance. Other names, and other instances, have followers of their own. To call stop
// again does not end the next follower.
func (s *suite) oneFollower() {
	first := &listener{s: s}
	stop := s.followWith(s.B, "c", first)
	refused := &listener{s: s}
	if _, err := s.B.Follow("c", refused); err != remote.ErrFollowed {
		s.Fatalf("Follow of a name that is followed: %v, want ErrFollowed", err)
	}
	s.follow(s.B, "d")
	s.follow(s.A, "c")
	s.heard(first, s.A, "c") // first still receives entries
	stop()
	second := s.follow(s.B, "c")
	stop()
	s.heard(second, s.A, "c")
	if _, ok := refused.began(); ok {
		s.Error("a follower that was refused was told since when")
	}
}
