package cachetest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// logEntry is one entry of the log.
type logEntry struct {
	at    cache.Position
	from  *Remote
	names []string
}

// tagRecord is where a tag was last invalidated.
type tagRecord struct {
	at      cache.Position
	expires time.Time
}

// reader is how far a Remote has read the log, and whom it tells.
type reader struct {
	mu        sync.Mutex // guards all below
	heard     cache.Position
	told      cache.Position // what the followers are being told
	done      cache.Position // what they have been told
	cut       bool
	telling   bool      // a goroutine tells, or is about to
	since     time.Time // when it was last known that there was nothing to tell, if telling or cut
	again     bool      // and there may be more than it has seen
	followers []*follower

	turn sync.Mutex // held while followers are told; before mu
}

type follower struct {
	cache string
	cache.Follower
}

// TrimLog removes every entry from the log. Remotes that have not read them all find
// that out when they read next.
func (s *Server) TrimLog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trimLocked()
}

func (s *Server) trimLocked() { s.log, s.lost = nil, s.end }

// EvictTags removes the records of the tags' positions.
func (s *Server) EvictTags() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tags)
}

func (s *Server) appendLocked(from *Remote, names []string) cache.Position {
	s.end.Time++
	s.log = append(s.log, logEntry{s.end, from, names})
	return s.end
}

// since returns the entries after told, or that there are some that are lost.
func (s *Server) since(told cache.Position) (entries []logEntry, end cache.Position, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if told.Before(s.lost) {
		return nil, s.end, true
	}
	first, _ := slices.BinarySearchFunc(s.log, told, func(e logEntry, told cache.Position) int {
		if told.Before(e.at) {
			return 1
		}
		return -1
	})
	return s.log[first:len(s.log):len(s.log)], s.end, false
}

// Follow tells f of the log, unless the name has a follower.
func (r *Remote) Follow(name string, f cache.Follower) (stop func(), err error) {
	r.reader.turn.Lock()
	defer r.reader.turn.Unlock()
	own := &follower{name, f}
	r.reader.mu.Lock()
	if slices.ContainsFunc(r.reader.followers, func(f *follower) bool { return f.cache == name }) {
		r.reader.mu.Unlock()
		return nil, cache.ErrFollowed
	}
	r.reader.followers = append(r.reader.followers, own)
	cut, told := r.reader.cut, r.reader.told
	r.reader.mu.Unlock()
	if !cut {
		f.Since(told, false)
	}
	return func() {
		r.reader.mu.Lock()
		defer r.reader.mu.Unlock()
		var others []*follower
		for _, f := range r.reader.followers {
			if f != own {
				others = append(others, f)
			}
		}
		r.reader.followers = others
	}, nil
}

// CutLog ends this Remote's reading of the log, as when a connection breaks.
func (r *Remote) CutLog() {
	r.reader.turn.Lock()
	defer r.reader.turn.Unlock()
	r.reader.mu.Lock()
	if !r.reader.telling && !r.reader.cut {
		r.reader.since = time.Now()
	}
	r.reader.cut = true
	r.reader.mu.Unlock()
	r.tell(func(f *follower) { f.Lost() })
}

// MendLog undoes CutLog. What was appended meanwhile is read, unless it is gone.
func (r *Remote) MendLog() {
	r.reader.turn.Lock()
	defer r.reader.turn.Unlock()
	r.reader.mu.Lock()
	r.reader.cut = false
	told := r.reader.told
	r.reader.mu.Unlock()
	if _, _, lost := r.server.since(told); !lost {
		r.tell(func(f *follower) { f.Since(told, true) })
	}
	r.wake()
}

func (r *Remote) tell(what func(*follower)) {
	r.reader.mu.Lock()
	followers := r.reader.followers
	r.reader.mu.Unlock()
	for _, f := range followers {
		what(f)
	}
}

// wake sees to it that somebody reads the log to its end.
func (r *Remote) wake() {
	r.reader.mu.Lock()
	defer r.reader.mu.Unlock()
	r.reader.again = true
	if r.reader.telling || r.reader.cut {
		return
	}
	r.reader.telling, r.reader.since = true, time.Now()
	go r.read()
}

func (r *Remote) read() {
	for {
		if d := r.begin("log").Delay; d > 0 {
			time.Sleep(d)
		}
		if !r.readOnce() {
			return
		}
	}
}

// readOnce tells what is new in the log. At its end, or without a connection, it
// reports false: the next wake starts anew.
func (r *Remote) readOnce() (more bool) {
	r.reader.turn.Lock()
	defer r.reader.turn.Unlock()
	r.reader.mu.Lock()
	if r.reader.cut || !r.reader.again {
		r.reader.telling = false
		r.reader.mu.Unlock()
		return false
	}
	r.reader.again = false
	told := r.reader.told
	r.reader.mu.Unlock()
	entries, end, lost := r.server.since(told)
	r.reader.mu.Lock()
	r.reader.told = end
	r.reader.heard = r.reader.heard.Later(end)
	r.reader.mu.Unlock()
	if lost {
		r.tell(func(f *follower) { f.Since(end, false) })
	}
	for _, e := range entries {
		r.tellEntry(e)
	}
	r.reader.mu.Lock()
	defer r.reader.mu.Unlock()
	r.reader.done = end
	return true
}

func (r *Remote) tellEntry(e logEntry) {
	for _, name := range e.names {
		of, _, _ := strings.Cut(name, ":")
		r.tell(func(f *follower) {
			if f.cache == of {
				f.Invalidated(name, e.at, e.from == r)
			}
		})
	}
}

// Told is as of now, unless there may be more to tell.
func (r *Remote) Told(string) (cache.Position, time.Time) {
	r.reader.mu.Lock()
	defer r.reader.mu.Unlock()
	if r.reader.telling || r.reader.cut {
		return r.reader.done, r.reader.since
	}
	return r.reader.done, time.Now()
}

// reached reports whether the followers have been told of every entry up to end.
func (r *reader) reached(end cache.Position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.cut && !r.done.Before(end)
}

// End is the position of the last entry.
func (r *Remote) End(ctx context.Context, _ string) (end cache.Position, err error) {
	err = r.do(ctx, "end", func(s *Server) { end = s.end })
	return end, err
}

// Position is the newest position that this Remote has heard of.
func (r *Remote) Position(string) cache.Position {
	r.reader.mu.Lock()
	defer r.reader.mu.Unlock()
	return r.reader.heard
}

// append appends names to the log.
func (r *Remote) append(ctx context.Context, names []string) (at cache.Position, err error) {
	var readers []*Remote
	err = r.do(ctx, "append", func(s *Server) {
		at, readers = s.appendLocked(r, names), s.remotes
	})
	for _, reader := range readers {
		reader.wake()
	}
	if err != nil {
		return cache.Position{}, err
	}
	r.reader.mu.Lock()
	defer r.reader.mu.Unlock()
	r.reader.heard = r.reader.heard.Later(at)
	return at, nil
}

// Announce appends keys to the log.
func (r *Remote) Announce(ctx context.Context, keys ...string) error {
	_, err := r.append(ctx, keys)
	return err
}

// InvalidateTags records a position for tags, between two entries.
func (r *Remote) InvalidateTags(ctx context.Context, tags []string, keep time.Duration) (cache.Position, error) {
	at, err := r.append(ctx, tags)
	if err != nil {
		return at, err
	}
	err = r.do(ctx, "record", func(s *Server) {
		for _, tag := range tags {
			rec, _ := s.tagLocked(tag)
			if rec.at.Never() {
				rec = tagRecord{}
			}
			s.tags[tag] = rec.keep(rec.at.Later(at), keep)
		}
	})
	if err != nil {
		return cache.Position{}, err
	}
	return r.append(ctx, tags)
}

// TagPositions returns what is recorded of tags.
func (r *Remote) TagPositions(ctx context.Context, tags ...string) ([]*cache.Position, error) {
	found := make([]*cache.Position, len(tags))
	err := r.do(ctx, "tags", func(s *Server) {
		for i, tag := range tags {
			if rec, ok := s.tagLocked(tag); ok {
				found[i] = &rec.at
			}
		}
	})
	return found, err
}

// RecordTags records a position for the tags that are recorded at was.
func (r *Remote) RecordTags(ctx context.Context, was, at cache.Position, keep time.Duration, tags ...string) error {
	return r.do(ctx, "record", func(s *Server) {
		for _, tag := range tags {
			rec, ok := s.tagLocked(tag)
			switch {
			case rec.at == was && ok == (was != cache.Position{}):
				s.tags[tag] = tagRecord{}.keep(at, keep)
			case ok && !rec.at.Never():
				s.tags[tag] = rec.keep(rec.at, keep)
			}
		}
	})
}

// keep is r with another position, kept for d or for as long as r is.
func (r tagRecord) keep(at cache.Position, d time.Duration) tagRecord {
	r.at = at
	if expires := time.Now().Add(d); expires.After(r.expires) {
		r.expires = expires
	}
	return r
}

func (s *Server) tagLocked(tag string) (tagRecord, bool) {
	rec, ok := s.tags[tag]
	if !ok || !time.Now().Before(rec.expires) {
		return tagRecord{}, false
	}
	return rec, true
}
