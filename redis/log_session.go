package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// readCount is the largest number of entries in a reply, while replies arrive in time.
const readCount = 128

var errElsewhere = errors.New("redis: the log is read from another server than is written to")

// step waits for entries, and delivers them.
func (r *session) step(ctx context.Context) error {
	asked := time.Now()
	got, err := r.wait(ctx)
	if err != nil {
		return err
	}
	if !got.contiguous {
		r.expected = place{}
		return r.jump(ctx, asked)
	}
	if n := len(got.messages); n > 0 {
		r.count = min(2*r.count, readCount)
		lag := r.apply(ctx, got.messages)
		if r.s.opts.Trace.LogRead != nil {
			r.s.opts.Trace.LogRead(ctx, LogReadInfo{Entries: n, Depth: got.depth, Lag: lag})
		}
	}
	return r.checkServer(ctx, got)
}

// block returns how long Redis waits for entries before it answers. Each answer extends the
// time up to which records from Redis are known to be valid. A connection without an answer
// for LogTimeout is dead.
func (p *partition) block() time.Duration { return p.s.opts.LogTimeout / 4 }

// reading is the result of one read of the log.
type reading struct {
	messages    []goredis.XMessage // entries behind the last delivered one; may be none
	contiguous  bool               // no entry is missing before messages
	sawExpected bool               // the last entry that the Store's commands saw is in the log, too
	depth       int64
}

// wait reads the entries behind the last delivered entry. After the wait, in the same
// pipeline, Redis looks for the last delivered entry. While that entry is in the log, no
// entry behind it has been trimmed, so the reader has missed none. If that entry is gone,
// the reader may have missed entries, because it lags behind by more than the log holds.
func (r *session) wait(ctx context.Context) (got reading, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	last := r.last()
	pipe := r.client.Pipeline()
	behind := pipe.XRead(ctx, &goredis.XReadArgs{
		Streams: []string{r.key, formatPosition(last.at)}, Count: int64(r.count), Block: r.block(),
	})
	before, depth := r.find(ctx, pipe, last), pipe.XLen(ctx, r.key)
	ahead := before
	if r.expected != (place{}) {
		ahead = r.find(ctx, pipe, r.expected)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return got, err
	}
	if err := errors.Join(before.Err(), ahead.Err(), depth.Err()); err != nil {
		return got, err
	}
	if behind.Err() == nil {
		if len(behind.Val()) != 1 {
			return got, errReply
		}
		got.messages = behind.Val()[0].Messages
	}
	got.contiguous, got.sawExpected, got.depth = last.isIn(before.Val()), r.expected.isIn(ahead.Val()), depth.Val()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.depth = got.depth
	return got, nil
}

// find looks for the entry at the position of p.
func (r *session) find(ctx context.Context, c goredis.Cmdable, p place) *goredis.XMessageSliceCmd {
	id := formatPosition(p.at)
	return c.XRangeN(ctx, r.key, id, id, 1)
}

// checkServer checks from time to time that the log is read from the server to which the
// Store's commands go. It also notes until when every entry is delivered. After a failover
// the reader may still be connected to a server that other clients write to, or that nobody
// writes to:
//
//  1. Another server takes over. The Store's commands go there. The reader stays where it
//     is.
//  2. Another instance invalidates a tag, on the new server. The reader does not receive
//     the entry.
//  3. This instance reads a value with the tag, and accepts the value as valid.
//
// So checkServer asks for the last entry with a command of the Store. The reader must have
// delivered that entry by the next check; if not, the session ends. Records from Redis are
// known to be valid up to the last check that passed, and not longer.
func (r *session) checkServer(ctx context.Context, got reading) error {
	told := r.last()
	switch reached := !told.at.Before(r.expected.at); {
	case r.expected == place{}:
	case reached && got.sawExpected:
		r.know(r.checkedAt)
		r.expected = place{}
	case reached, len(got.messages) == 0:
		return errElsewhere
	default: // entries before r.expected are still to be read
		return nil
	}
	if time.Since(r.checkedAt) < r.block() {
		return nil
	}
	if err := r.renew(ctx); err != nil {
		return err
	}
	r.checkedAt = time.Now()
	end, err := r.end(ctx)
	switch {
	case err != nil: // then the caches do not read from Redis either
	case end == told:
		r.know(r.checkedAt)
	default:
		r.expected = end
	}
	return nil
}

// apply delivers entries to the followers. A follower that joins during apply begins behind
// the entries. If this Store appended one of the entries, apply returns how long ago.
func (r *session) apply(ctx context.Context, messages []goredis.XMessage) (lag time.Duration) {
	r.deliverMu.Lock()
	defer r.deliverMu.Unlock()
	end := placeOf(messages[len(messages)-1])
	at := end.at
	r.mu.Lock()
	r.delivering, r.newest = end, r.newest.Later(at)
	r.entries += uint64(len(messages))
	if !r.appended.IsZero() && !at.Before(r.own) {
		lag = time.Since(r.appended)
		r.lag, r.appended = lag, time.Time{}
	}
	followers := r.followers
	r.mu.Unlock()
	for _, m := range messages {
		r.applyOne(ctx, m, followers)
	}
	r.done(messages...)
	return lag
}

// applyOne delivers one entry. It skips an entry that it cannot decode: the writer is
// another release, or not this library.
func (r *session) applyOne(ctx context.Context, m goredis.XMessage, followers []*follower) {
	at, e, err := decodeMessage(m)
	if err != nil {
		r.mu.Lock()
		r.malformed++
		r.mu.Unlock()
		r.warnMalformed.Do(func() { r.s.opts.Logger.WarnContext(ctx, "a log entry is not understood", "error", err) })
		return
	}
	own := e.from == r.s.origin
	if own {
		r.unexpect(e.nonce)
	}
	for _, name := range e.names {
		of := cacheOf(name)
		for _, f := range followers {
			switch {
			case f.cache != of:
			case e.replaced:
				f.Replaced(name, at, own)
			default:
				f.Invalidated(name, at, own)
			}
		}
	}
}

// done notes that every entry up to the last of messages is delivered to the followers.
func (p *partition) done(messages ...goredis.XMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range messages {
		place := placeOf(m)
		p.recent.add(place)
		p.history.add(place)
	}
	p.delivered = p.recent.last().at
	p.findLostLocked()
	p.tellProgressLocked()
}

// began notes that the followers read on behind from. It drops the recent entries and the
// mark: entries delivered before from prove nothing about entries behind from. jumped reports
// that entries before from were not delivered.
func (p *partition) began(from place, jumped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent, p.marked = recent{}, marked{}
	p.recent.add(from)
	p.delivered = from.at
	if jumped {
		p.jumps++
		p.history = nil
		p.history.add(from)
	}
	p.findLostLocked()
	p.tellProgressLocked()
}

// know notes that every entry appended before until is delivered.
func (p *partition) know(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.completeAsOf = until
}

// last returns the last entry delivered, or being delivered.
func (p *partition) last() place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delivering
}
