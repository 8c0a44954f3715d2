package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// maxLateBans bounds the batches of bans that may arrive late: those whose Mutate runs, and
// those that are chased side by side. One beyond it stands until it lapses.
const maxLateBans = 64

// lateBans are the batches of bans that were given up on, and that Redis may carry out
// later. A Mutate may have ended by then:
//
//  1. The ban is sent, and is delayed on its way, by a packet that was lost.
//  2. Mutate goes on at the end of the budget. It writes, and lifts the ban.
//  3. The ban arrives. Its tombstone stands for MutateTimeout: every read loads, and no
//     Invalidate takes the tombstone away.
//
// Lift therefore chases such a ban.
type lateBans struct {
	chasing atomic.Int32 // batches

	mu    sync.Mutex // guards noted
	noted []lateBan  // the oldest first
}

// lateBan is one batch.
type lateBan struct {
	ban  cache.Token
	keys []string
}

// note notes a batch whose Lift is still to come. Lift comes with the end of a Mutate, so
// that the oldest batch is the first to be forgotten, if there are too many.
func (l *lateBans) note(ban cache.Token, keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.noted) == maxLateBans {
		l.noted = append(l.noted[:0], l.noted[1:]...)
	}
	l.noted = append(l.noted, lateBan{ban, keys})
}

// take removes and returns the batches of a ban.
func (l *lateBans) take(ban cache.Token) (taken []lateBan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var others []lateBan
	for _, late := range l.noted {
		if late.ban == ban {
			taken = append(taken, late)
		} else {
			others = append(others, late)
		}
	}
	l.noted = others
	return taken
}

// mayArrive reports whether a command that failed with err may be carried out later.
func mayArrive(err error) bool {
	return err != nil && !errors.Is(err, cache.ErrUnavailable) && !isReply(err)
}

// isReply reports whether err is an error with which Redis replied.
func isReply(err error) bool {
	var reply goredis.Error
	return errors.As(err, &reply)
}

// chase takes a batch of bans off the tombstones, in the background, for as long as a lease
// of this Store would stand, counted while Redis answers.
func (s *Store) chase(late lateBan, hold time.Duration) {
	if s.late.chasing.Add(1) > maxLateBans {
		s.late.chasing.Add(-1)
		return
	}
	s.inBackground(func(ctx context.Context) {
		defer s.late.chasing.Add(-1)
		const tries, silent = 12, 20 * 12
		keys := late.keys
		for answers, all := 0, 0; answers < tries && all < silent; all++ {
			rest, err := s.unban(ctx, late.ban, keys, hold)
			if err == nil {
				keys = rest
				answers++
			}
			if len(keys) == 0 {
				return
			}
			select {
			case <-time.After(s.opts.LeaseTTL / tries):
			case <-ctx.Done():
				return
			}
		}
	})
}

// unban takes a ban off the tombstones of keys, and returns the keys without it.
func (s *Store) unban(ctx context.Context, ban cache.Token, keys []string, hold time.Duration) ([]string, error) {
	rest, err := send(ctx, s.writes, func(ctx context.Context) (rest []string, err error) {
		var replies []*goredis.Cmd
		err = s.exec(ctx, func(b *batch) {
			replies = nil // of before the scripts were known
			for _, key := range keys {
				replies = append(replies, b.eval(unbanScript, s.redisKey(key), ban[:], holdMillis(hold)))
			}
		})
		if err != nil {
			return nil, err
		}
		for i, reply := range replies {
			if reply.Val() != int64(1) {
				rest = append(rest, keys[i])
			}
		}
		if len(rest) == len(keys) {
			err = errIdle
		}
		return rest, err
	})
	if err == errIdle {
		err = nil
	}
	return rest, err
}
