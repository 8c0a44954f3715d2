package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// maxClearing bounds the leases that are given up in the background side by side.
// One beyond it lapses by itself.
const maxClearing = 64

// lease is a lease that this Store took.
type lease struct {
	s       *Store
	key     string
	record  []byte
	granted int64 // on Redis' clock, in milliseconds
	until   time.Time

	mu    sync.Mutex // guards all below
	over  bool       // filled or released
	timer *time.Timer
}

// Lease takes the lease of key, if nothing stands in the way.
func (s *Store) Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (cache.Lease, cache.Record, error) {
	key = s.redisKey(key)
	asked, record := time.Now(), newLease()
	taken, rest, err := s.evalList(ctx, leaseScript, key, record, millis(s.opts.LeaseTTL), replace)
	if err != nil {
		s.clearAsked(key, record, err)
		return nil, cache.Record{}, err
	}
	if taken {
		l, err := s.newLease(key, record, hold, rest)
		return l, cache.Record{}, err
	}
	rec, err := standing(key, rest)
	rec.Asked = asked
	return nil, rec, err
}

// standing is the record that stood in the way of a lease.
func standing(key string, rest []any) (cache.Record, error) {
	if len(rest) != 2 {
		return cache.Record{}, errReply
	}
	b, ok := rest[0].(string)
	left, ok2 := rest[1].(int64)
	if !ok || !ok2 {
		return cache.Record{}, errReply
	}
	switch left {
	case -1:
		return decodeRecord(key, []byte(b), noTTL), nil
	case -2:
		return cache.Record{}, nil
	}
	return decodeRecord(key, []byte(b), fromMillis(left)), nil
}

// Seize takes the lease of key, unless a tombstone stands there.
func (s *Store) Seize(ctx context.Context, key string, hold time.Duration) (cache.Lease, error) {
	key = s.redisKey(key)
	record := newLease()
	taken, rest, err := s.evalList(ctx, seizeScript, key, record, millis(s.opts.LeaseTTL))
	if err != nil {
		s.clearAsked(key, record, err)
	}
	if err != nil || !taken {
		return nil, err
	}
	return s.newLease(key, record, hold, rest)
}

// clearAsked clears a lease that was asked for, unless err says that it cannot have
// been granted.
func (s *Store) clearAsked(key string, record []byte, err error) {
	var reply goredis.Error
	if errors.Is(err, cache.ErrUnavailable) || errors.As(err, &reply) {
		return // it was not sent, or Redis said no
	}
	s.clear(key, record)
}

// clear releases, in the background, a lease that a command that failed may have
// left standing with nobody to fill it: others would wait for it until it lapses. A
// command that is overdue may even be carried out later, when Redis goes on that
// hangs now, and on another connection than what releases the lease; so clear tries
// for as long as such a lease would stand, counted while Redis answers.
func (s *Store) clear(key string, record []byte) {
	if s.clearing.Add(1) > maxClearing {
		s.clearing.Add(-1)
		return
	}
	s.inBackground(func(ctx context.Context) {
		defer s.clearing.Add(-1)
		const tries, silent = 12, 20 * 12
		for answers, all := 0, 0; answers < tries && all < silent; all++ {
			stood, err := s.evalInt(ctx, releaseScript, key, record)
			if err == nil && stood == 1 {
				return
			}
			if err == nil {
				answers++
			}
			select {
			case <-time.After(s.opts.LeaseTTL / tries):
			case <-ctx.Done():
				return
			}
		}
	})
}

func (s *Store) newLease(key string, record []byte, hold time.Duration, rest []any) (cache.Lease, error) {
	if len(rest) != 1 {
		return nil, errReply
	}
	granted, ok := rest[0].(int64)
	if !ok {
		return nil, errReply
	}
	return s.hold(key, record, hold, granted), nil
}

// hold keeps alive a lease that was granted at that time of Redis' clock.
func (s *Store) hold(key string, record []byte, hold time.Duration, granted int64) *lease {
	l := &lease{s: s, key: key, record: record, granted: granted, until: time.Now().Add(hold)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(s.opts.LeaseTTL/3, func() { s.inBackground(l.renew) })
	return l
}

// renew keeps the lease alive, until it is over, lost, or held too long. A
// renewal that fails is tried again a third of the TTL later, when there is
// still a third left.
func (l *lease) renew(ctx context.Context) {
	stands, err := l.s.evalInt(ctx, renewScript, l.key, l.record, millis(l.s.opts.LeaseTTL))
	if err == nil && stands == 0 {
		return
	}
	if err == nil {
		l.s.renewed.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over && time.Now().Before(l.until) {
		l.timer.Reset(l.s.opts.LeaseTTL / 3)
	}
}

// end stops the renewals.
func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.timer.Stop()
}

// Fill replaces the lease with a value, if it still stands.
func (l *lease) Fill(ctx context.Context, f cache.Fill) (held bool, err error) {
	l.end()
	deadline := l.granted + millis(f.MaxAge)
	held, rest, err := l.s.evalList(ctx, fillScript, l.key, l.record, encodeValue(l.key, f, deadline), millis(f.TTL), deadline)
	if err != nil || len(rest) == 0 {
		return held, err
	}
	text, _ := rest[0].(string)
	reason := replyOf(text)
	l.s.denied(reason)
	return held, errors.New("redis: fill: " + reason.Error())
}

// Release gives the lease up. After an error it is given up in the background.
func (l *lease) Release(ctx context.Context) (held bool, err error) {
	l.end()
	stood, err := l.s.evalInt(ctx, releaseScript, l.key, l.record)
	if err != nil {
		l.s.clear(l.key, l.record)
	}
	return stood == 1, err
}
