package cachetest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// logEntry is one entry of the log.
type logEntry struct {
	at       remote.Position
	from     *Remote
	names    []string
	replaced bool
}

// tagRecord is the record of a tag: the position of the last invalidation.
type tagRecord struct {
	at      remote.Position
	expires time.Time
}

// reader is the state of a Remote's reading of the log, with its followers.
type reader struct {
	mu        sync.Mutex // guards all below
	heard     remote.Position
	told      remote.Position // the last position that is being delivered
	done      remote.Position // the last position that has been delivered
	cut       bool
	telling   bool      // a goroutine delivers entries, or is about to
	since     time.Time // while telling or cut: when all was last known to be delivered
	again     bool      // there may be entries not read yet
	followers []*follower

	turn sync.Mutex // held while entries are delivered; before mu
}

type follower struct {
	cache string
	remote.Follower
}

// TrimLog removes every entry from the log. A Remote that has not read all of them notices
// the gap at its next read.
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

func (s *Server) appendLocked(from *Remote, names []string, replaced bool) remote.Position {
	s.end.Time++
	s.log = append(s.log, logEntry{s.end, from, names, replaced})
	return s.end
}

// since returns the entries after told, or reports that some of them are lost.
func (s *Server) since(told remote.Position) (entries []logEntry, end remote.Position, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if told.Before(s.lost) {
		return nil, s.end, true
	}
	first, _ := slices.BinarySearchFunc(s.log, told, func(e logEntry, told remote.Position) int {
		if told.Before(e.at) {
			return 1
		}
		return -1
	})
	return s.log[first:len(s.log):len(s.log)], s.end, false
}

// Follow delivers to f the entries about a cache, unless the cache's name has a follower.
func (r *Remote) Follow(name string, f remote.Follower) (stop func(), err error) {
	r.reader.turn.Lock()
	defer r.reader.turn.Unlock()
	own := &follower{name, f}
	r.reader.mu.Lock()
	if slices.ContainsFunc(r.reader.followers, func(f *follower) bool { return f.cache == name }) {
		r.reader.mu.Unlock()
		return nil, remote.ErrFollowed
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

// CutLog ends this Remote's reading of the log, as a broken connection does.
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

// MendLog undoes CutLog. The Remote reads the entries that were appended since, unless they
// were trimmed.
func (r *Remote) MendLog() {
	r.reader.turn.Lock()
	defer r.reader.turn.Unlock()
	r.reader.mu.Lock()
	r.reader.cut = false
	told, since := r.reader.told, r.reader.since
	r.reader.mu.Unlock()
	if _, _, lost := r.server.since(told); !lost {
		r.tell(func(f *follower) { f.Since(told, true) })
	}
	r.wakeSince(since)
}

// Recover tells the caches of this Remote that the server serves again, as a Tier with a
// circuit breaker does, and returns when they have made the invalidations that they had
// queued. A Remote whose faults end does not tell by itself.
func (r *Remote) Recover(ctx context.Context) {
	r.tell(func(f *follower) { f.Recovered(ctx) })
}

func (r *Remote) tell(what func(*follower)) {
	r.reader.mu.Lock()
	followers := r.reader.followers
	r.reader.mu.Unlock()
	for _, f := range followers {
		what(f)
	}
}

// wake makes a goroutine read the log to its end, unless the log is cut.
func (r *Remote) wake() { r.wakeSince(time.Now()) }

// wakeSince is wake after a time since which there may be entries that are not delivered.
func (r *Remote) wakeSince(since time.Time) {
	r.reader.mu.Lock()
	defer r.reader.mu.Unlock()
	r.reader.again = true
	if r.reader.telling || r.reader.cut {
		return
	}
	r.reader.telling, r.reader.since = true, since
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

// readOnce delivers the new entries of the log. At the end of the log, and while the log is
// cut, it reports false: the next wake starts another goroutine.
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
			switch {
			case f.cache != of:
			case e.replaced:
				f.Replaced(name, e.at, e.from == r)
			default:
				f.Invalidated(name, e.at, e.from == r)
			}
		})
	}
}

// Delivered returns the last delivered position. The time is now, unless there may be more
// entries to deliver.
func (r *Remote) Delivered(string) (remote.Position, time.Time) {
	r.reader.mu.Lock()
	defer r.reader.mu.Unlock()
	if r.reader.telling || r.reader.cut {
		return r.reader.done, r.reader.since
	}
	return r.reader.done, time.Now()
}

// reached reports whether every entry up to end has been delivered.
func (r *reader) reached(end remote.Position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.cut && !r.done.Before(end)
}

// End returns the position of the last entry.
func (r *Remote) End(ctx context.Context, _ string) (end remote.Position, err error) {
	err = r.do(ctx, "end", func(s *Server) { end = s.end })
	return end, err
}

// Observed returns the newest position that this Remote has read or appended.
func (r *Remote) Observed(string) remote.Position {
	r.reader.mu.Lock()
	defer r.reader.mu.Unlock()
	return r.reader.heard
}

// append appends names to the log.
func (r *Remote) append(ctx context.Context, names []string, replaced bool) (at remote.Position, err error) {
	var readers []*Remote
	err = r.do(ctx, "append", func(s *Server) {
		at, readers = s.appendLocked(r, names, replaced), s.remotes
	})
	for _, reader := range readers {
		reader.wake()
	}
	if err != nil {
		return remote.Position{}, err
	}
	r.reader.mu.Lock()
	defer r.reader.mu.Unlock()
	r.reader.heard = r.reader.heard.Later(at)
	return at, nil
}

// Announce appends keys to the log, as replaced.
func (r *Remote) Announce(ctx context.Context, keys ...string) error {
	_, err := r.append(ctx, keys, true)
	return err
}

// InvalidateTags appends tags, records the position of that entry, and appends tags again.
func (r *Remote) InvalidateTags(ctx context.Context, tags []string, keep time.Duration) (remote.Position, error) {
	at, err := r.append(ctx, tags, false)
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
		return remote.Position{}, err
	}
	return r.append(ctx, tags, false)
}

// TagPositions returns the recorded positions of tags.
func (r *Remote) TagPositions(ctx context.Context, tags ...string) ([]*remote.Position, error) {
	found := make([]*remote.Position, len(tags))
	err := r.do(ctx, "tags", func(s *Server) {
		for i, tag := range tags {
			if rec, ok := s.tagLocked(tag); ok {
				found[i] = &rec.at
			}
		}
	})
	return found, err
}

// RecordTags records a position for the tags whose position is was.
func (r *Remote) RecordTags(ctx context.Context, was, at remote.Position, keep time.Duration, tags ...string) error {
	return r.do(ctx, "record", func(s *Server) {
		for _, tag := range tags {
			rec, ok := s.tagLocked(tag)
			switch {
			case rec.at == was && ok == (was != remote.Position{}):
				s.tags[tag] = tagRecord{}.keep(at, keep)
			case ok && !rec.at.Never():
				s.tags[tag] = rec.keep(rec.at, keep)
			}
		}
	})
}

// keep returns r with another position, kept for d from now, or as long as r if that is
// longer.
func (r tagRecord) keep(at remote.Position, d time.Duration) tagRecord {
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
