package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// maxClearing bounds the leases being given up in the background at the same time. A lease
// beyond the bound lapses by itself.
const maxClearing = 64

// lease is a lease taken by this Store.
type lease struct {
	s       *Store
	key     string
	record  []byte
	granted int64     // in milliseconds of Redis' clock
	until   time.Time // no renewal is scheduled after this time

	mu    sync.Mutex // guards all below
	over  bool       // filled or released
	timer *time.Timer
}

// Lease takes the lease of key, if there is no record, or only the one that replace names.
// Otherwise Lease returns the record that stands.
func (s *Store) Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (remote.Lease, remote.Record, error) {
	key = s.redisKey(key)
	asked, record := time.Now(), newLease()
	taken, rest, err := s.evalList(ctx, leaseScript, key, record, millis(s.opts.LeaseTTL), replace)
	if err != nil {
		s.clearAsked(key, record, err)
		return nil, remote.Record{}, err
	}
	if taken {
		l, err := s.newLease(key, record, hold, s.opts.LeaseTTL/3, rest)
		return l, remote.Record{}, err
	}
	rec, err := standing(key, rest)
	rec.Asked = asked
	return nil, rec, err
}

// LeaseBeside takes the lease of the value that version names, and leaves the value.
// Otherwise it returns the record that stands. If another load has the lease, that is no more
// than the version, and Leased.
func (s *Store) LeaseBeside(ctx context.Context, key string, hold time.Duration, version []byte) (remote.Lease, remote.Record, error) {
	key = s.redisKey(key)
	asked, record := time.Now(), newLease()
	taken, rest, err := s.evalList(ctx, leaseBesideScript, key, record, millis(s.opts.LeaseTTL), version)
	switch {
	case err != nil:
		s.clearAsked(key, record, err)
		return nil, remote.Record{}, err
	case taken:
		l, err := s.newLease(key, record, hold, s.opts.LeaseTTL/12, rest) // the value may end soon
		return l, remote.Record{}, err
	case len(rest) == 0:
		return nil, remote.Record{State: remote.StateValue, Version: version, Leased: true}, nil
	}
	rec, err := standing(key, rest)
	rec.Asked = asked
	return nil, rec, err
}

// standing returns the record in the way of a lease.
func standing(key string, rest []any) (remote.Record, error) {
	if len(rest) != 2 {
		return remote.Record{}, errReply
	}
	b, ok := rest[0].(string)
	left, ok2 := rest[1].(int64)
	if !ok || !ok2 {
		return remote.Record{}, errReply
	}
	switch left {
	case -1:
		return decodeRecord(key, []byte(b), noTTL), nil
	case -2:
		return remote.Record{}, nil
	}
	return decodeRecord(key, []byte(b), fromMillis(left)), nil
}

// Seize takes the lease of key in place of any record but a tombstone.
func (s *Store) Seize(ctx context.Context, key string, hold time.Duration) (remote.Lease, error) {
	key = s.redisKey(key)
	record := newLease()
	taken, rest, err := s.evalList(ctx, seizeScript, key, record, millis(s.opts.LeaseTTL))
	if err != nil {
		s.clearAsked(key, record, err)
	}
	if err != nil || !taken {
		return nil, err
	}
	return s.newLease(key, record, hold, s.opts.LeaseTTL/3, rest)
}

// clearAsked clears a lease that a failed command asked for, unless err shows that the
// lease was not granted.
func (s *Store) clearAsked(key string, record []byte, err error) {
	if mayArrive(err) {
		s.clear(key, record)
	}
}

// clear releases a lease in the background. A failed command may have left the lease in
// Redis although nobody fills it, and other loads would wait until the lease lapses. A
// Redis that hangs now may even carry out an overdue command after a release, which comes
// on another connection. So clear tries again and again, for as long as such a lease would
// stand, counted while Redis answers.
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

// newLease returns the lease granted by a script, with its first renewal after the time first.
// rest has the time of the grant.
func (s *Store) newLease(key string, record []byte, hold, first time.Duration, rest []any) (remote.Lease, error) {
	if len(rest) != 1 {
		return nil, errReply
	}
	granted, ok := rest[0].(int64)
	if !ok {
		return nil, errReply
	}
	return s.hold(key, record, hold, first, granted), nil
}

// hold returns a lease granted at that time of Redis' clock, and keeps the lease alive for
// at most hold, with renewals after the time first and then every third of LeaseTTL.
func (s *Store) hold(key string, record []byte, hold, first time.Duration, granted int64) *lease {
	l := &lease{s: s, key: key, record: record, granted: granted, until: time.Now().Add(hold)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(first, func() { s.inBackground(l.renew) })
	return l
}

// renew keeps the lease alive, until the lease is over, lost, or held for too long. A failed
// renewal is tried again soon: after two thirds of LeaseTTL those who wait take the lease over.
func (l *lease) renew(ctx context.Context) {
	stands, err := l.s.evalInt(ctx, renewScript, l.key, l.record, millis(l.s.opts.LeaseTTL))
	if err == nil && stands == 0 {
		return
	}
	next := l.s.opts.LeaseTTL / 12
	if err == nil {
		l.s.renewed.Add(1)
		next = l.s.opts.LeaseTTL / 3
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over && time.Now().Before(l.until) {
		l.timer.Reset(next)
	}
}

// end stops the renewals.
func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.timer.Stop()
}

// Fill replaces the lease with a value, if the lease still stands; without a TTL, with no
// record. Of an unchanged value only the first bytes are sent.
func (l *lease) Fill(ctx context.Context, f remote.Fill) (held bool, err error) {
	l.end()
	deadline := l.granted + millis(f.MaxAge)
	value := encodeValue(l.key, f, deadline)
	store := func(script *goredis.Script, bytes []byte) (held bool, rest []any, err error) {
		return l.s.evalList(ctx, script, l.key, l.record, bytes, millisOrNone(f.TTL), deadline, millisOrNone(f.Window))
	}
	script, bytes := fillScript, value
	if f.Unchanged && replaceable(value) {
		script, bytes = keepScript, value[:renewalEnd]
	}
	held, rest, err := store(script, bytes)
	if err == nil && len(rest) > 0 && rest[0] == int64(0) { // the value has ended, and its lease stands
		held, rest, err = store(fillScript, value)
	}
	if err != nil || len(rest) == 0 {
		return held, err
	}
	text, _ := rest[0].(string)
	reason := replyOf(text)
	l.s.noteRefusal(reason)
	return held, errors.New("redis: fill: " + reason.Error())
}

// millisOrNone returns d in milliseconds; 0 if d is not positive.
func millisOrNone(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return millis(d)
}

// Release gives the lease up. After an error the lease is given up in the background.
func (l *lease) Release(ctx context.Context) (held bool, err error) {
	l.end()
	stood, err := l.s.evalInt(ctx, releaseScript, l.key, l.record)
	if err != nil {
		l.s.clear(l.key, l.record)
	}
	return stood == 1, err
}
