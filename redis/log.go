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

	"github.com/nearside-go/nearside/cache/remote"
)

// partition is one log: a stream in Redis, and the state of the Store's reader and
// followers of the stream.
type partition struct {
	s       *Store
	key     string
	markKey string // in a Cluster on the same node as key

	// Used by the reader only.
	count     int    // entries to ask for at once
	attempted bool   // a session has ended, or could not begin
	movedTo   string // the node that the log has moved to, by the end of the last session

	woken   chan struct{}        // receives an element when Redis serves commands again
	line    atomic.Pointer[line] // the connection that the log is read on; nil if unknown
	reading atomic.Pointer[lone] // the client of the current session; nil between two

	deliverMu sync.Mutex // held while followers are called; locked before mu

	mu           sync.Mutex      // guards all below
	newest       remote.Position // the newest position that is known to be in the stream
	delivering   place           // the last entry delivered, or being delivered; zero at first
	delivered    remote.Position // the last position up to which every entry is delivered
	recent       recent          // the last delivered entries
	history      history         // their places, for longer
	unseen       unseen
	unseenNames  int
	jumps        uint64 // how often the reader went to the end of the log without reading up to it
	marked       marked
	tells        uint64        // how often more was delivered
	lastTell     time.Time     // when more was last delivered
	progress     chan struct{} // closed when more is delivered; nil if no read waits
	completeAsOf time.Time     // every entry appended before this time is delivered
	started      bool          // the reader runs
	following    bool          // the reader is connected, and delivers entries
	followers    []*follower
	left         time.Time // when dialed last ended a session

	entries, malformed, sessions, gaps, reverts uint64

	depth         int64
	lag           time.Duration
	own           remote.Position // the position of an entry that this Store appended
	appended      time.Time       // when own was appended; zero once own is delivered
	renewed       time.Time       // when this Store last renewed the TTL of the log
	warnMalformed sync.Once       // logs the first malformed entry

	ready   sync.Once
	settled chan struct{} // closed once a session has begun or failed, or await has timed out
}

// follower receives the entries that concern one cache.
type follower struct {
	cache string
	remote.Follower
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

// Follow delivers to f the entries that concern the cache of that name, until stop is
// called. The first follower of a partition starts the partition's reader. Follow returns
// remote.ErrFollowed if the name has a follower.
//
// Follow holds deliverMu, as the reader does when it calls followers. Otherwise f might rely on
// a log that is not being read:
//
//  1. Follow finds that the log is being read.
//  2. The connection ends. The reader calls Lost of every follower, including f.
//  3. Follow calls f.Since, with the position from which the log was read.
func (s *Store) Follow(name string, f remote.Follower) (stop func(), err error) {
	p := s.log(name)
	p.deliverMu.Lock()
	defer p.deliverMu.Unlock()
	own := &follower{name, f}
	p.mu.Lock()
	if slices.ContainsFunc(p.followers, func(f *follower) bool { return f.cache == name }) {
		p.mu.Unlock()
		return nil, remote.ErrFollowed
	}
	p.followers = append(p.followers[:len(p.followers):len(p.followers)], own)
	following, told := p.following, p.delivering.at
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

func (p *partition) currentFollowers() []*follower {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.followers
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

// await returns when the first session has begun, or has failed. A record that is read from
// Redis before is of little use: the instance cannot check whether the record is valid, and
// drops the local copy when the session begins. await waits for half a budget, once: a log
// that hangs must not cost more.
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
		p.ready.Do(func() { close(p.settled) })
	}
}

// Observed returns the newest position that this Store knows to be in the log.
func (s *Store) Observed(name string) remote.Position {
	p := s.log(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.newest
}

// Delivered returns the last position up to which every entry is delivered to the followers, and
// a time. Every entry appended before that time is delivered.
func (s *Store) Delivered(name string) (remote.Position, time.Time) {
	p := s.log(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delivered, p.completeAsOf
}

// End returns the position of the last entry of the log.
func (s *Store) End(ctx context.Context, name string) (remote.Position, error) {
	end, err := s.log(name).end(ctx)
	return end.at, err
}

func (p *partition) end(ctx context.Context) (place, error) {
	return send(ctx, p.s.circuitOf(p.key).reads, func(ctx context.Context) (place, error) {
		last, err := p.s.client.XRevRangeN(ctx, p.key, "+", "-", 1).Result()
		return lastOf(last), err
	})
}

// appendAfter sends the commands that fill adds to a batch, and behind them entries of
// names. It returns the position of the last entry.
func (s *Store) appendAfter(ctx context.Context, names []string, fill func(*batch)) (at remote.Position, err error) {
	return s.appendEntry(ctx, newEntry(s.origin, false, names), fill)
}

func (s *Store) appendEntry(ctx context.Context, e logEntry, fill func(*batch)) (at remote.Position, err error) {
	if len(e.names) == 0 {
		return at, nil
	}
	p := s.log(e.names[0])
	before := s.Observed(e.names[0])
	at, err = p.send(ctx, e, fill)
	if err == nil && !before.Before(at) {
		// The log was lost, and goes on with positions before the newest known one.
		at, err = p.appendBeyond(ctx, before, e)
	}
	if err == nil {
		p.hear(at)
	}
	return at, err
}

// appendBeyond raises the end of the log beyond a position, and then appends e.
func (p *partition) appendBeyond(ctx context.Context, before remote.Position, e logEntry) (remote.Position, error) {
	lift, _ := newEntry(p.s.origin, false, nil).encode()
	_, err := send(ctx, p.s.circuitOf(p.key).writes, func(ctx context.Context) (string, error) {
		return p.addOne(ctx, p.s.client, formatPosition(remote.Position{Time: before.Time + 1}), lift)
	})
	if err != nil && !isTooSmall(err) {
		return remote.Position{}, err
	}
	return p.send(ctx, e, func(*batch) {})
}

func (p *partition) send(ctx context.Context, e logEntry, fill func(*batch)) (remote.Position, error) {
	type end struct {
		at    remote.Position
		nonce nonce
	}
	got, err := send(ctx, p.s.circuitOf(p.key).writes, func(ctx context.Context) (got end, err error) {
		var added *goredis.StringCmd
		commands := func(b *batch) { // again if the server does not have a script
			fill(b)
			p.unexpect(got.nonce)
			added, got.nonce = p.addAll(ctx, b.pipe, e)
			p.expect(got.nonce, e.names)
		}
		if err := p.s.exec(ctx, commands); err != nil {
			p.unexpect(got.nonce)
			return got, err
		}
		var ok bool
		if got.at, ok = parsePosition(added.Val()); !ok {
			p.unexpect(got.nonce)
			return got, errReply
		}
		return got, nil
	})
	if err == nil {
		p.noteRenewal()
		p.acknowledge(got.nonce, got.at)
	}
	return got.at, err
}

// addAll adds to a pipeline the commands that append e, as several entries if it has too many
// names for one. It returns the last XADD, and the nonce of its entry. Readers ask for the
// last entry of the log again and again. So a short entry without names follows a long entry.
func (p *partition) addAll(ctx context.Context, pipe goredis.Pipeliner, e logEntry) (added *goredis.StringCmd, last nonce) {
	size := 0
	for len(e.names) > 0 {
		e = newEntry(e.from, e.replaced, e.names)
		entry, rest := e.encode()
		added, size, last = p.add(ctx, pipe, "*", entry), len(entry), e.nonce
		e.names = rest
	}
	if size > maxLastEntry {
		end := newEntry(p.s.origin, false, nil)
		entry, _ := end.encode()
		added, last = p.add(ctx, pipe, "*", entry), end.nonce
	}
	p.mark(ctx, pipe)
	pipe.PExpire(ctx, p.key, logTTL)
	return added, last
}

// addOne appends one entry, replaces the mark of the log, and renews the TTL of the log.
func (p *partition) addOne(ctx context.Context, c goredis.Cmdable, id string, entry []byte) (string, error) {
	pipe := c.Pipeline()
	added, marked, renewed := p.add(ctx, pipe, id, entry), p.mark(ctx, pipe), pipe.PExpire(ctx, p.key, logTTL)
	_, err := pipe.Exec(ctx)
	if added.Err() != nil || marked.Err() != nil || renewed.Err() != nil {
		err = cmp.Or(added.Err(), marked.Err()) // a failed PEXPIRE alone is not an error
	}
	return added.Val(), err
}

func (p *partition) add(ctx context.Context, c goredis.Cmdable, id string, entry []byte) *goredis.StringCmd {
	return c.XAdd(ctx, &goredis.XAddArgs{
		Stream: p.key, MaxLen: entriesKept(len(entry), p.s.opts.LogLength, p.s.opts.LogBytes), Approx: true,
		ID: id, Values: []any{entryField, entry},
	})
}

// hear notes the position of an entry that this Store appended.
func (p *partition) hear(at remote.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = p.newest.Later(at)
	if p.appended.IsZero() && p.delivering.at.Before(at) {
		p.own, p.appended = at, time.Now()
	}
}

// addTo adds the partition's counts to s. It returns as numbers, 0 or 1, whether the
// partition has a reader, and whether the reader is connected.
func (p *partition) addTo(s *Stats) (started, following int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.LogEntries += p.entries
	s.LogMalformed += p.malformed
	s.LogSessions += p.sessions
	s.LogGaps += p.gaps
	s.LogReverts += p.reverts
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

// asOf returns whether the log is read, and the time before which every entry is delivered.
func (p *partition) asOf() (started bool, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started, p.completeAsOf
}
