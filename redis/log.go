package redis

import (
	"cmp"
	"context"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// partition is one log: a stream, and what this Store knows of it.
type partition struct {
	s       *Store
	key     string
	markKey string // in a Cluster on the same node

	// The reader's own.
	count   int    // how many entries it asks for at once
	tried   bool   // it has read, or tried to
	movedTo string // the node that the log has moved to, by the last session's end

	woken chan struct{}        // gets an element when Redis serves commands again
	line  atomic.Pointer[line] // the connection that the log is read on; nil if unknown

	turn sync.Mutex // held while followers are told; before mu

	mu        sync.Mutex     // guards all below
	heard     cache.Position // the newest that is known to be in the stream
	told      place          // the last that the followers are being told; zero before the first session
	toldAll   cache.Position // the last that they have been told
	recent    recent         // that, and those before
	marked    marked
	tells     uint64 // how often more was told
	lastTell  time.Time
	progress  chan struct{} // closed when they have been told of more; nil if nobody waits
	knew      time.Time     // when all entries until then were told
	started   bool          // there is a reader
	following bool          // it is connected, and tells
	followers []*follower

	entries, malformed, sessions, gaps uint64

	depth    int64
	lag      time.Duration
	own      cache.Position // of an entry that this Store appended
	appended time.Time      // when that was; zero once it has come back
	renewed  time.Time      // when this Store last renewed the TTL of the log
	odd      sync.Once      // reports the first malformed entry

	settle  sync.Once
	settled chan struct{} // closed once the first session has begun, or failed
}

// follower is told of one cache's entries.
type follower struct {
	cache string
	cache.Follower
}

func newPartitions(s *Store) []*partition {
	logs := make([]*partition, s.opts.LogPartitions)
	for i := range logs {
		key := s.opts.Prefix + ":log"
		if len(logs) > 1 {
			key += ":" + strconv.Itoa(i)
		}
		logs[i] = &partition{s: s, key: key, markKey: key + ":mark:{" + key + "}", settled: make(chan struct{}), woken: make(chan struct{}, 1)}
	}
	return logs
}

// log returns the log of the cache that a name concerns.
func (s *Store) log(name string) *partition {
	if len(s.logs) == 1 {
		return s.logs[0]
	}
	name = cacheOf(name)
	return s.logs[int(crc32.Checksum([]byte(name), castagnoli)%uint32(len(s.logs)))]
}

// cacheOf returns the name of the cache that name concerns.
func cacheOf(name string) string {
	name, _, _ = strings.Cut(name, ":")
	return name
}

// Follow makes f hear of the log. The first follower of a partition starts its reader. It
// takes its turn with the reader, or f might rely on a log that nobody reads:
//
//  1. Follow sees that the log is being read.
//  2. The connection ends. The reader tells everybody, f too, that it is lost.
//  3. Follow tells f since when the log is read.
//
// A name that has a follower is refused with cache.ErrFollowed.
func (s *Store) Follow(name string, f cache.Follower) (stop func(), err error) {
	p := s.log(name)
	p.turn.Lock()
	defer p.turn.Unlock()
	own := &follower{name, f}
	p.mu.Lock()
	if slices.ContainsFunc(p.followers, func(f *follower) bool { return f.cache == name }) {
		p.mu.Unlock()
		return nil, cache.ErrFollowed
	}
	p.followers = append(p.followers[:len(p.followers):len(p.followers)], own)
	following, told := p.following, p.told.at
	if !p.started {
		p.started = true
		s.inBackground(p.read)
	}
	p.mu.Unlock()
	if following {
		f.Since(told, false)
	}
	return func() { p.unfollow(own) }, nil
}

func (p *partition) unfollow(f *follower) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var others []*follower
	for _, other := range p.followers {
		if other != f {
			others = append(others, other)
		}
	}
	p.followers = others
}

// await returns when the reader has begun, or failed to. What is read from Redis before
// is of little use: it cannot be told whether it is right, and the local copies of it
// are dropped when the reader begins. It waits for half a budget, once: a log that hangs
// must not cost more.
func (p *partition) await() {
	select {
	case <-p.settled:
		return
	default:
	}
	p.mu.Lock()
	started := p.started
	p.mu.Unlock()
	if !started {
		return
	}
	select {
	case <-p.settled:
	case <-time.After(p.s.opts.Timeout / 2):
		p.settle.Do(func() { close(p.settled) })
	}
}

// Position is the newest position of the log that this Store has heard of.
func (s *Store) Position(name string) cache.Position {
	p := s.log(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard
}

// Told is the last position that the followers were told, and when that was all.
func (s *Store) Told(name string) (cache.Position, time.Time) {
	p := s.log(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.toldAll, p.knew
}

// End is the position of the last entry.
func (s *Store) End(ctx context.Context, name string) (cache.Position, error) {
	end, err := s.log(name).end(ctx)
	return end.at, err
}

func (p *partition) end(ctx context.Context) (place, error) {
	return send(ctx, p.s.reads, func(ctx context.Context) (place, error) {
		last, err := p.s.client.XRevRangeN(ctx, p.key, "+", "-", 1).Result()
		return lastOf(last), err
	})
}

// appendAfter sends what fill adds to a batch, and entries of names behind it. It
// returns the position of the last one.
func (s *Store) appendAfter(ctx context.Context, names []string, fill func(*batch)) (at cache.Position, err error) {
	if len(names) == 0 {
		return at, nil
	}
	p := s.log(names[0])
	before := s.Position(names[0])
	at, err = p.send(ctx, names, fill)
	if err == nil && !before.Before(at) {
		// The log was lost, and goes on before what was heard of it.
		at, err = p.appendBeyond(ctx, before, names)
	}
	if err == nil {
		p.hear(at)
	}
	return at, err
}

// appendBeyond lifts the log beyond a position, and appends names.
func (p *partition) appendBeyond(ctx context.Context, before cache.Position, names []string) (cache.Position, error) {
	lift, _ := encodeEntry(p.s.origin, nil)
	_, err := send(ctx, p.s.writes, func(ctx context.Context) (string, error) {
		return p.addOne(ctx, p.s.client, formatPosition(cache.Position{Time: before.Time + 1}), lift)
	})
	if err != nil && !isTooSmall(err) {
		return cache.Position{}, err
	}
	return p.send(ctx, names, func(*batch) {})
}

func (p *partition) send(ctx context.Context, names []string, fill func(*batch)) (cache.Position, error) {
	at, err := send(ctx, p.s.writes, func(ctx context.Context) (at cache.Position, err error) {
		var added *goredis.StringCmd
		commands := func(b *batch) {
			fill(b)
			added = p.addAll(ctx, b.pipe, names)
		}
		if err := p.s.exec(ctx, commands); err != nil {
			return at, err
		}
		at, ok := parsePosition(added.Val())
		if !ok {
			return at, errReply
		}
		return at, nil
	})
	if err == nil {
		p.noteRenewal()
	}
	return at, err
}

// addAll adds to a pipeline the commands that append entries of names, and returns the last
// one of them. Readers ask for the last entry of the log again and again, so behind a long
// entry a short one follows, which has no names.
func (p *partition) addAll(ctx context.Context, pipe goredis.Pipeliner, names []string) (added *goredis.StringCmd) {
	size := 0
	for rest := names; len(rest) > 0; {
		var entry []byte
		entry, rest = encodeEntry(p.s.origin, rest)
		added, size = p.add(ctx, pipe, "*", entry), len(entry)
	}
	if size > maxLastEntry {
		end, _ := encodeEntry(p.s.origin, nil)
		added = p.add(ctx, pipe, "*", end)
	}
	p.mark(ctx, pipe)
	pipe.PExpire(ctx, p.key, logTTL)
	return added
}

// addOne appends one entry, and renews the TTL of the log.
func (p *partition) addOne(ctx context.Context, c goredis.Cmdable, id string, entry []byte) (string, error) {
	pipe := c.Pipeline()
	added, marked, renewed := p.add(ctx, pipe, id, entry), p.mark(ctx, pipe), pipe.PExpire(ctx, p.key, logTTL)
	_, err := pipe.Exec(ctx)
	if added.Err() != nil || marked.Err() != nil || renewed.Err() != nil {
		err = cmp.Or(added.Err(), marked.Err()) // the others can do without
	}
	return added.Val(), err
}

func (p *partition) add(ctx context.Context, c goredis.Cmdable, id string, entry []byte) *goredis.StringCmd {
	return c.XAdd(ctx, &goredis.XAddArgs{
		Stream: p.key, MaxLen: entriesKept(len(entry), p.s.opts.LogLength, p.s.opts.LogBytes), Approx: true,
		ID: id, Values: []any{entryField, entry},
	})
}

// hear notes an entry that this Store appended.
func (p *partition) hear(at cache.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = p.heard.Later(at)
	if p.appended.IsZero() && p.told.at.Before(at) {
		p.own, p.appended = at, time.Now()
	}
}

// addTo adds the partition's counts, and returns whether it has a reader, and one that
// is connected, as numbers.
func (p *partition) addTo(s *Stats) (started, following int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.LogEntries += p.entries
	s.LogMalformed += p.malformed
	s.LogSessions += p.sessions
	s.LogGaps += p.gaps
	s.LogDepth += p.depth
	lag := p.lag
	if !p.appended.IsZero() {
		lag = max(lag, time.Since(p.appended))
	}
	s.LogLag = max(s.LogLag, lag)
	if p.started {
		started = 1
	}
	if p.following {
		following = 1
	}
	return started, following
}
