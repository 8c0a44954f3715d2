package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// readCount is how many entries a reply has at most, while they come in time.
const readCount = 128

var errElsewhere = errors.New("redis: the log is read from another server than is written to")

// next waits for entries, and tells of them.
func (r *session) next(ctx context.Context) error {
	asked := time.Now()
	got, err := r.wait(ctx)
	if err != nil {
		return err
	}
	if !got.all {
		r.ahead = place{}
		end, err := r.lift(ctx)
		if err == nil {
			r.follow(ctx, end, asked)
		}
		return err
	}
	if n := len(got.messages); n > 0 {
		r.count = min(2*r.count, readCount)
		lag := r.apply(ctx, got.messages)
		if r.s.opts.Trace.LogRead != nil {
			r.s.opts.Trace.LogRead(ctx, LogReadInfo{Entries: n, Depth: got.depth, Lag: lag})
		}
	}
	return r.compare(ctx, got)
}

// block is how long Redis is to wait for entries. A connection that is silent for
// LogTimeout is dead, and what is read from Redis is known to be right until an answer.
func (p *partition) block() time.Duration { return p.s.opts.LogTimeout / 4 }

// reading is what was read of the log at once.
type reading struct {
	messages []goredis.XMessage // behind the last that was told; none if there were none for a while
	all      bool               // nothing is missing before them
	met      bool               // what the Store's commands saw last is in it, too
	depth    int64
}

// wait reads on. As long as the entry that was told last is still in the log, nothing behind
// it was trimmed away unseen. A reader that has waited has missed nothing either way, but
// one that lags behind a short log could. In the pipeline Redis looks after it has waited.
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
	if r.ahead != (place{}) {
		ahead = r.find(ctx, pipe, r.ahead)
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
	got.all, got.met, got.depth = last.isIn(before.Val()), r.ahead.isIn(ahead.Val()), depth.Val()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.depth = got.depth
	return got, nil
}

// find looks for what there is at a place.
func (r *session) find(ctx context.Context, c goredis.Cmdable, p place) *goredis.XMessageSliceCmd {
	id := formatPosition(p.at)
	return c.XRangeN(ctx, r.key, id, id, 1)
}

// compare makes sure, now and then, that the log is read where the Store's commands go, and
// notes until when all was told. A failover may leave the reader its connection to a server
// that others still write to, or nobody:
//
//  1. Another server takes over. The Store's commands go there, the log is read as before.
//  2. Another instance invalidates a tag, at the new server, which the reader is not told.
//  3. This one reads a value of the tag, and takes it for right.
//
// So it asks for the last entry with a command of the Store, which must have been told by
// the next look, and nothing that is read is known to be right from a later time than that.
func (r *session) compare(ctx context.Context, got reading) error {
	told := r.last()
	switch reached := !told.at.Before(r.ahead.at); {
	case r.ahead == place{}:
	case reached && got.met:
		r.know(r.looked)
		r.ahead = place{}
	case reached, len(got.messages) == 0:
		return errElsewhere
	default: // there is more to be told before
		return nil
	}
	if time.Since(r.looked) < r.block() {
		return nil
	}
	if err := r.renew(ctx); err != nil {
		return err
	}
	r.looked = time.Now()
	end, err := r.end(ctx)
	switch {
	case err != nil: // then nobody reads anything from Redis
	case end == told:
		r.know(r.looked)
	default:
		r.ahead = end
	}
	return nil
}

// apply tells the followers of entries. A follower that is new meanwhile begins behind
// them. If this Store appended one of them it returns how long ago.
func (r *session) apply(ctx context.Context, messages []goredis.XMessage) (lag time.Duration) {
	r.turn.Lock()
	defer r.turn.Unlock()
	end := placeOf(messages[len(messages)-1])
	at := end.at
	r.mu.Lock()
	r.told, r.heard = end, r.heard.Later(at)
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

// applyOne steps over an entry that it does not understand: those that wrote it are of
// another release, or no nearside at all.
func (r *session) applyOne(ctx context.Context, m goredis.XMessage, followers []*follower) {
	at, from, names, err := decodeMessage(m)
	if err != nil {
		r.mu.Lock()
		r.malformed++
		r.mu.Unlock()
		r.odd.Do(func() { r.s.opts.Logger.WarnContext(ctx, "a log entry is not understood", "error", err) })
		return
	}
	for _, name := range names {
		of := cacheOf(name)
		for _, f := range followers {
			if f.cache == of {
				f.Invalidated(name, at, from == r.s.origin)
			}
		}
	}
}

// done notes that the followers have been told of everything up to the last of messages.
func (p *partition) done(messages ...goredis.XMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range messages[max(len(messages)-len(p.recent.places), 0):] {
		p.recent.add(placeOf(m))
	}
	p.toldAll = p.recent.last().at
	p.tellProgressLocked()
}

// began notes that the followers have been told that the log is read on behind a place.
// What was told before it is no sign any more of what is told after.
func (p *partition) began(from place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent, p.marked = recent{}, marked{}
	p.recent.add(from)
	p.toldAll = from.at
	p.tellProgressLocked()
}

// know notes that all entries until then were told.
func (p *partition) know(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.knew = until
}

func (p *partition) last() place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}
