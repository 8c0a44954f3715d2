package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// maxLateGuards bounds the batches of guards that may arrive late: the batches of running
// Mutates, and the batches being chased. A guard beyond the bound stands until it lapses.
const maxLateGuards = 64

// lateGuards are the batches of guards whose commands were abandoned, and which Redis may
// carry out later. A Mutate may have ended by then:
//
//  1. The guard is sent, and a lost packet delays it.
//  2. Mutate goes on at the end of the budget. It writes, and removes the guard.
//  3. The guard arrives. Its tombstone stands for MutateTimeout: every read loads, and no
//     Invalidate removes the tombstone.
//
// So Unguard chases such a guard.
type lateGuards struct {
	chasing atomic.Int32 // batches being chased

	mu    sync.Mutex  // guards noted
	noted []lateGuard // oldest first
}

// lateGuard is one batch: the keys, and the token of their guards.
type lateGuard struct {
	token remote.Token
	keys  []string
}

// note notes a batch whose Unguard is still to come. Unguard comes at the end of a Mutate. So if
// there are too many batches, the oldest is dropped.
func (l *lateGuards) note(token remote.Token, keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.noted) == maxLateGuards {
		l.noted = append(l.noted[:0], l.noted[1:]...)
	}
	l.noted = append(l.noted, lateGuard{token, keys})
}

// take removes and returns the batches with the token guard.
func (l *lateGuards) take(token remote.Token) (taken []lateGuard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var others []lateGuard
	for _, late := range l.noted {
		if late.token == token {
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
	return err != nil && !isReply(err) && !errors.Is(err, remote.ErrUnavailable) && !errors.Is(err, errNoPlace)
}

// isReply reports whether err is an error reply of Redis.
func isReply(err error) bool {
	var reply goredis.Error
	return errors.As(err, &reply)
}

// chase removes a batch of late guards from the tombstones, in the background. It tries
// again and again, for as long as a lease of this Store would stand, counted while Redis
// answers.
func (s *Store) chase(late lateGuard, hold time.Duration) {
	if s.lateGuards.chasing.Add(1) > maxLateGuards {
		s.lateGuards.chasing.Add(-1)
		return
	}
	s.inBackground(func(ctx context.Context) {
		defer s.lateGuards.chasing.Add(-1)
		const tries, silent = 12, 20 * 12
		keys := late.keys
		for answers, all := 0, 0; answers < tries && all < silent; all++ {
			rest, err := s.unguard(ctx, late.token, keys, hold)
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

// unguard removes a guard from the tombstones of keys, and returns the keys that did not have
// the guard.
func (s *Store) unguard(ctx context.Context, token remote.Token, keys []string, hold time.Duration) (rest []string, err error) {
	var mu sync.Mutex // guards rest
	_, err = s.byCircuit(keys, func(c *circuit, keys []string) error {
		without, err := s.unguardOn(ctx, c, token, keys, hold)
		mu.Lock()
		defer mu.Unlock()
		rest = append(rest, without...)
		return err
	})
	return rest, err
}

// unguardOn is unguard for keys of one circuit.
func (s *Store) unguardOn(ctx context.Context, c *circuit, token remote.Token, keys []string, hold time.Duration) ([]string, error) {
	rest, err := send(ctx, c.writes, func(ctx context.Context) (rest []string, err error) {
		var replies []*goredis.Cmd
		err = s.exec(ctx, func(b *batch) {
			replies = nil // drop the replies of an attempt without sources
			for _, key := range keys {
				replies = append(replies, b.eval(unguardScript, s.redisKey(key), token[:], holdMillis(hold)))
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
			err = errNoChange
		}
		return rest, err
	})
	if err == errNoChange {
		err = nil
	}
	return rest, err
}
