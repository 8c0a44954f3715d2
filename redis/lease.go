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
	return s.lease(ctx, remote.LeaseAsk{Key: key, Replace: replace}, hold)
}

// LeaseBeside takes the lease of the value that version names, and leaves the value.
// Otherwise it returns the record that stands. If another load has the lease, that is no more
// than the version, and Leased.
func (s *Store) LeaseBeside(ctx context.Context, key string, hold time.Duration, version []byte) (remote.Lease, remote.Record, error) {
	return s.lease(ctx, remote.LeaseAsk{Key: key, Replace: version, Beside: true}, hold)
}

func (s *Store) lease(ctx context.Context, ask remote.LeaseAsk, hold time.Duration) (remote.Lease, remote.Record, error) {
	a := s.asking(ask)
	script, args := a.script(s.opts.LeaseTTL)
	taken, rest, err := s.evalList(ctx, script, a.key, args...)
	got := s.leased(a, hold, taken, rest, err)
	return got.Lease, got.Record, got.Err
}

// asking is a request for a lease on its way to Redis.
type asking struct {
	remote.LeaseAsk
	key    string // in Redis
	record []byte
	asked  time.Time
}

func (s *Store) asking(ask remote.LeaseAsk) asking {
	return asking{ask, s.redisKey(ask.Key), newLease(), time.Now()}
}

func (a asking) script(ttl time.Duration) (*goredis.Script, []any) {
	script := leaseScript
	if a.Beside {
		script = leaseBesideScript
	}
	return script, []any{a.record, millis(ttl), a.Replace}
}

// leased returns the outcome of a request for a lease.
func (s *Store) leased(a asking, hold time.Duration, taken bool, rest []any, err error) (got remote.Reply) {
	switch {
	case err != nil:
		s.clearAsked(a.key, a.record, err)
		got.Err = err
	case taken:
		first := s.opts.LeaseTTL / 3
		if a.Beside {
			first = s.opts.LeaseTTL / 12 // the value may end soon
		}
		got.Lease, got.Err = s.newLease(a.key, a.record, hold, first, rest)
	case a.Beside && len(rest) == 0:
		got.Record = remote.Record{State: remote.StateValue, Version: a.Replace, Leased: true}
	default:
		got.Record, got.Err = standing(a.key, rest)
		got.Record.Asked = a.asked
	}
	return got
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
// record. Of an unchanged value only the first bytes are sent. Fills whose contexts never end
// may share round trips: see joinedEnds.
func (l *lease) Fill(ctx context.Context, f remote.Fill) (held bool, err error) {
	got := l.s.endLease(ctx, l, &f)
	return got.Held, got.Err
}

// endAlone is endLease in a round trip of its own.
func (l *lease) endAlone(ctx context.Context, f *remote.Fill) (got remote.Ended) {
	l.end()
	if f == nil {
		stood, err := l.s.evalInt(ctx, releaseScript, l.key, l.record)
		got.Held, got.Err = l.released(stood, err)
		return got
	}
	w := l.prepare(*f)
	script, args := w.first()
	held, rest, err := l.s.evalList(ctx, script, l.key, args...)
	if mustSendWhole(rest, err) {
		held, rest, err = l.s.evalList(ctx, fillScript, l.key, w.args(w.value)...)
	}
	got.Held, got.Err = l.filled(held, rest, err)
	return got
}

// filling is a value on its way into Redis.
type filling struct {
	l        *lease
	value    []byte
	deadline int64 // on Redis' clock
	ttl      int64
	window   int64
	unsent   bool // only the first bytes of the value need be sent
}

func (l *lease) prepare(f remote.Fill) filling {
	deadline := l.granted + millis(f.MaxAge)
	value := encodeValue(l.key, f, deadline)
	return filling{l, value, deadline, millisOrNone(f.TTL), millisOrNone(f.Window), f.Unchanged && replaceable(value)}
}

// first returns the script to try first, and its arguments.
func (w filling) first() (*goredis.Script, []any) {
	if w.unsent {
		return keepScript, w.args(w.value[:renewalEnd])
	}
	return fillScript, w.args(w.value)
}

func (w filling) args(bytes []byte) []any {
	return []any{w.l.record, bytes, w.ttl, w.deadline, w.window}
}

// mustSendWhole reports whether a fill of which only the first bytes were sent has found that
// the value has ended, while its lease stands.
func mustSendWhole(rest []any, err error) bool {
	return err == nil && len(rest) > 0 && rest[0] == int64(0)
}

// filled returns the outcome of a fill.
func (l *lease) filled(held bool, rest []any, err error) (bool, error) {
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
	got := l.s.endLease(ctx, l, nil)
	return got.Held, got.Err
}

// released returns the outcome of a release.
func (l *lease) released(stood int64, err error) (held bool, _ error) {
	if err != nil {
		l.s.clear(l.key, l.record)
	}
	return stood == 1, err
}
