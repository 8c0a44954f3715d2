package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// readCount is how many entries a reply has at most, while they come in time.
const readCount = 128

var errElsewhere = errors.New("redis: the log is read from another server than is written to")

// next waits for entries, and tells of them.
func (r *session) next(ctx context.Context) error {
	asked, last := time.Now(), r.last()
	messages, all, err := r.wait(ctx, last)
	if err != nil {
		return err
	}
	if !all {
		end, err := r.lift(ctx)
		if err == nil {
			r.follow(ctx, end, asked)
		}
		return err
	}
	if len(messages) == 0 {
		r.done(last.at, asked.Add(r.block())) // it blocked for so long, or longer
		return errors.Join(r.look(ctx), r.compare(ctx, last.at))
	}
	full := len(messages) == r.count
	r.count = min(2*r.count, readCount)
	if full {
		asked = time.Time{} // there may be more
	}
	r.apply(ctx, messages, asked)
	return nil
}

// block is how long Redis is to wait for entries. A connection that is silent for
// LogTimeout is dead, and what is read from Redis is known to be right until an answer.
func (p *partition) block() time.Duration { return p.s.opts.LogTimeout / 4 }

// wait returns the entries after last, none if there were none for a while, and whether
// they are all. As long as last is still in the log, nothing behind it was trimmed away
// unseen. A reader that has waited has missed nothing either way, but one that lags
// behind a short log could. In the pipeline Redis looks for last after it has waited.
func (r *session) wait(ctx context.Context, last place) (messages []goredis.XMessage, all bool, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	id := formatPosition(last.at)
	pipe := r.client.Pipeline()
	behind := pipe.XRead(ctx, &goredis.XReadArgs{Streams: []string{r.key, id}, Count: int64(r.count), Block: r.block()})
	before := pipe.XRangeN(ctx, r.key, id, id, 1)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return nil, false, err
	}
	found, err := before.Result()
	if err != nil {
		return nil, false, err
	}
	if behind.Err() == nil {
		if len(behind.Val()) != 1 {
			return nil, false, errReply
		}
		messages = behind.Val()[0].Messages
	}
	return messages, last.isIn(found), nil
}

// apply tells the followers of entries, which were all there were at that time; zero if
// there may be more. A follower that is new meanwhile begins behind them.
func (r *session) apply(ctx context.Context, messages []goredis.XMessage, all time.Time) {
	r.turn.Lock()
	defer r.turn.Unlock()
	end := messages[len(messages)-1]
	at, _ := parsePosition(end.ID)
	r.mu.Lock()
	r.told, r.heard = place{at, end.Values[entryField]}, r.heard.Later(at)
	r.entries += uint64(len(messages))
	if !r.appended.IsZero() && !at.Before(r.own) {
		r.lag, r.appended = time.Since(r.appended), time.Time{}
	}
	followers := r.followers
	r.mu.Unlock()
	for _, m := range messages {
		r.applyOne(ctx, m, followers)
	}
	r.done(at, all)
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

// done notes that the followers have been told of everything up to at, which was all
// at that time, unless that is zero.
func (p *partition) done(at cache.Position, all time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toldAll = at
	if !all.IsZero() {
		p.knew = all
	}
}

func (p *partition) last() place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

// compare makes sure that the log is read where the Store's commands go: what their
// server had at the last look must have been told by now.
func (r *session) compare(ctx context.Context, told cache.Position) error {
	if told.Before(r.ahead) {
		return errElsewhere
	}
	if end, err := r.end(ctx); err == nil {
		r.ahead = end
	}
	return nil
}

// look counts the entries.
func (r *session) look(ctx context.Context) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	n, err := r.client.XLen(ctx, r.key).Result()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.depth = n
	return nil
}
