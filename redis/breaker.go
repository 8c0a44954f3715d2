package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

// breaker sends no commands to a Redis that does not serve. It opens after
// Options.MaxFailures failures in a row. A probe in the background closes the breaker. A
// user's call never does, because the call would pay for the attempt.
//
// The breaker of the reads opens at once when a dial of the log's reader or of a probe is
// refused (in a Cluster, by all nodes), because then no process listens. The commands under
// way of a client passed to New are canceled. Otherwise the client would dial for these
// commands again and again. Where New has no hook, the client would also write a line to
// standard error for each failed dial.
//
// A Store has two breakers. The breaker of the writes counts separately, because a Redis
// may answer every GET and no SET: a replica, or a server in a failover. If the GETs reset
// the count, every miss would pay for a command that fails. While the breaker of the reads
// is open, no command is sent at all. There is one exception: before a breaker closes, the
// followers make the invalidations that they have queued.
type breaker struct {
	s       *Store
	what    string
	within  *breaker // while within is open, so is this breaker; nil for reads
	probe   func(context.Context, goredis.Cmdable) error
	open    atomic.Bool
	refused atomic.Uint64

	// draining is positive while the followers make the invalidations that they had queued,
	// because one of the breakers is about to close. Commands that write are sent then.
	draining atomic.Int32

	woken chan struct{} // receives an element when the log is read again
	sent  atomic.Pointer[sending]

	mu       sync.Mutex // guards all below
	shutting bool
	failures int // in a row
	opened   uint64
}

// sending is the context of the commands under way. It ends when nobody listens at the
// server's address.
type sending struct {
	ctx context.Context
	end context.CancelCauseFunc
}

func newSending() *sending {
	ctx, end := context.WithCancelCause(context.Background())
	return &sending{ctx, end}
}

// newBreakers returns the breakers of the reads and of the writes. Their probes use a key
// that no cache has, because in the keys of a cache the cache's name stands between two
// colons. The probes store nothing.
func newBreakers(s *Store) (reads, writes *breaker) {
	key := s.opts.Prefix + ":probe"
	reads = &breaker{s: s, what: "reads", probe: func(ctx context.Context, c goredis.Cmdable) error {
		return c.Get(ctx, key).Err()
	}}
	writes = &breaker{s: s, what: "writes", within: reads, probe: func(ctx context.Context, c goredis.Cmdable) error {
		return c.Unlink(ctx, key).Err()
	}}
	for _, b := range []*breaker{reads, writes} {
		b.woken = make(chan struct{}, 1)
		b.sent.Store(newSending())
	}
	return reads, writes
}

// allows reports whether a command may be sent.
func (b *breaker) allows() bool {
	stops := b
	switch {
	case b.within == nil && b.open.Load():
	case b.within != nil && b.stopsWrites():
	case b.within != nil && b.within.stopsWrites():
		stops = b.within
	default:
		return true
	}
	stops.refused.Add(1)
	return false
}

func (b *breaker) stopsWrites() bool { return b.open.Load() && b.draining.Load() == 0 }

// learn counts the outcome of a command sent while the breaker was closed.
func (b *breaker) learn(err error) {
	if err == errNoChange {
		return
	}
	if !isOutage(err) {
		b.mu.Lock()
		b.failures = 0
		b.mu.Unlock()
		return
	}
	report := func() {}
	b.mu.Lock()
	if b.failures++; b.failures >= b.s.opts.MaxFailures {
		report = b.openLocked(err)
	}
	b.mu.Unlock()
	report()
}

// gone opens the breaker because nobody listens at the server's address, and ends the
// commands under way.
func (b *breaker) gone(err error) {
	err = unquote(err)
	b.mu.Lock()
	report := b.openLocked(err)
	b.sent.Load().end(err)
	b.mu.Unlock()
	report()
}

// openLocked opens the breaker because of err, and returns a function that reports the
// change. The outage is noted under the lock. After the lock it could stay noted:
//
//  1. The breaker opens, and its lock is free.
//  2. A probe closes the breaker. The outage does not have this cause yet, and does not
//     change.
//  3. The outage gets the cause, and keeps it.
func (b *breaker) openLocked(err error) (report func()) {
	if b.open.Load() || b.shutting {
		return func() {}
	}
	b.open.Store(true)
	b.opened++
	select {
	case <-b.woken: // from before the breaker opened
	default:
	}
	b.s.inBackground(b.probeUntilUp)
	write := b.s.outage.begin(b, b.what, err)
	return func() {
		write()
		b.trace(true, err)
	}
}

// wake ends the wait for the next probe, because the log is read again.
func (b *breaker) wake() {
	if !b.open.Load() {
		return
	}
	select {
	case b.woken <- struct{}{}:
	default:
	}
}

// close lets commands be sent again. First it replaces a context that has ended. A command
// that was about to be sent when the breaker opened does not get the new context too early:
//
//  1. send finds the breaker closed.
//  2. The context ends, because nobody listens, and the breaker opens.
//  3. send takes the context, and sends its command with it.
//
// The context that send takes at step 3 has ended, as long as the breaker is open.
func (b *breaker) close() {
	b.mu.Lock()
	b.failures = 0
	if b.sent.Load().ctx.Err() != nil {
		b.sent.Store(newSending())
	}
	b.open.Store(b.shutting)
	b.s.outage.end(b)
	b.mu.Unlock()
	b.trace(false, nil)
	if b.within == nil {
		b.s.writes.wake()
		for _, p := range b.s.logs {
			p.wake()
		}
	}
}

// shut opens the breaker permanently.
func (b *breaker) shut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shutting = true
	b.open.Store(true)
}

func (b *breaker) trace(open bool, err error) {
	if b.s.opts.Trace.Breaker != nil {
		b.s.opts.Trace.Breaker(b.s.background, BreakerInfo{Open: open, Writes: b.within != nil, Err: err})
	}
}

func (b *breaker) timesOpened() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened
}

// illReplies are the beginnings of replies from a server that cannot serve any command now,
// or no writes, or not this client. Every other reply, even an error, comes from a server
// that serves. The last three are replies to the SELECT of a new connection: each command
// would make a connection, in vain.
var illReplies = []string{
	"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY ",
	"READONLY", "MISCONF", "NOREPLICAS",
	"NOAUTH", "WRONGPASS", "ERR max number of clients",
	replyNoDatabase, replyOneDatabase, replyNoPermission + " SELECT",
}

// isOutage reports whether err means that Redis does not serve.
func isOutage(err error) bool {
	if err == nil {
		return false
	}
	var reply goredis.Error
	if !errors.As(err, &reply) {
		return true
	}
	text := unquote(err).Error()
	return slices.ContainsFunc(illReplies, func(begins string) bool { return strings.HasPrefix(text, begins) })
}
