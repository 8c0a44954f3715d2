package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// apply tells the followers of entries. A follower that is new meanwhile begins behind
// them.
func (r *session) apply(ctx context.Context, messages []goredis.XMessage) {
	if len(messages) == 0 {
		return
	}
	r.mu.Lock()
	last, _ := parsePosition(messages[len(messages)-1].ID)
	r.told, r.heard = last, r.heard.Later(last)
	r.entries += uint64(len(messages))
	if !r.appended.IsZero() && !last.Before(r.last) {
		r.lag, r.appended = time.Since(r.appended), time.Time{}
	}
	followers := r.followers
	r.mu.Unlock()
	for _, m := range messages {
		r.applyOne(ctx, m, followers)
	}
	r.tell(last)
}

// tell notes that the followers have been told of everything up to at.
func (r *session) tell(at cache.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = at
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
