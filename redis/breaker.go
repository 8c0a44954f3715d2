package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// breaker sends no commands to a Redis that does not serve. It opens after
// Options.MaxFailures failures in a row, or when Options.FailureRatio is exceeded. A probe in
// the background closes the breaker. A user's call never does, because the call would pay for
// the attempt.
//
// The breaker of the reads opens at once when a dial of the log's reader or of a probe is
// refused, because then no process listens. The commands under way of a client passed to New
// are canceled. Otherwise the client would dial for these commands again and again. Where New
// has no hook, the client would also write a line to standard error for each failed dial.
//
// While the breaker of the reads is open, no command is sent at all. There is one exception:
// before a breaker closes, the followers make the invalidations that they have queued.
type breaker struct {
	s        *Store
	c        *circuit
	ofWrites bool
	probe    func(ctx context.Context, client goredis.Cmdable, key string) error
	open     atomic.Bool

	// gates are the breakers that must be closed for a command of this breaker: itself; for
	// a write the breaker of the reads; for a node those of the whole Cluster.
	gates []*breaker

	places chan struct{} // has an element for each command of inTurn that is being sent

	// draining is positive while the followers make the invalidations that they had queued,
	// because one of the breakers is about to close. Commands that write are sent then.
	draining atomic.Int32

	woken chan struct{} // receives an element when the log is read again
	sent  atomic.Pointer[sending]

	mu       sync.Mutex // guards all below
	shutting bool
	tally    tally // since the breaker was last closed
	unsteady bool  // the breaker opened because of the ratio of failures

	answered bool      // a command was answered since the breaker was last closed
	starved  time.Time // when errStarved was first learned since the last answer
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

func newBreaker(c *circuit, probe func(context.Context, goredis.Cmdable, string) error) *breaker {
	b := &breaker{s: c.s, c: c, probe: probe, woken: make(chan struct{}, 1)}
	b.sent.Store(newSending())
	return b
}

// allows reports whether a command may be sent.
func (b *breaker) allows() bool {
	for _, gate := range b.gates {
		if gate.open.Load() && (!b.ofWrites || gate.draining.Load() == 0) {
			b.s.refused.Add(1)
			return false
		}
	}
	return true
}

// learn counts the outcome of a command sent while the breaker was closed.
func (b *breaker) learn(err error) {
	if err == errNoChange {
		return
	}
	failed := isOutage(err)
	report := func() {}
	b.mu.Lock()
	defer func() {
		b.mu.Unlock()
		report()
	}()
	if !failed {
		b.answered, b.starved = true, time.Time{}
	} else if err == errStarved && b.forgivesLocked() {
		return
	}
	b.tally.note(failed)
	switch {
	case !failed:
	case b.tally.inARow >= b.s.opts.MaxFailures:
		report = b.openLocked(err)
	case b.tally.exceeds(b.s.opts.FailureRatio):
		b.unsteady = b.unsteady || !b.open.Load()
		report = b.openLocked(err)
	}
}

// maxStarved is for how long the timeouts of a process that does not run in time are no
// failures, since the last answer.
const maxStarved = time.Second

// forgivesLocked reports whether a timeout of a process that does not run in time is no
// failure: Redis has answered, and may still do so.
func (b *breaker) forgivesLocked() bool {
	if b.starved.IsZero() {
		b.starved = time.Now()
	}
	return b.answered && time.Since(b.starved) < maxStarved
}

// steadyProbes is how many probes in a row must be answered in time to close a breaker that
// opened because of the ratio of failures. One probe says little about such a server.
const steadyProbes = 10

// probesDue returns how many probes in a row have to be answered.
func (b *breaker) probesDue() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unsteady {
		return steadyProbes
	}
	return 1
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
	b.s.opened.Add(1)
	select {
	case <-b.woken: // from before the breaker opened
	default:
	}
	b.s.inBackground(b.probeUntilUp)
	write := b.s.outage.begin(b, b.what(), err)
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
	b.tally, b.unsteady, b.answered, b.starved = tally{}, false, false, time.Time{}
	if b.sent.Load().ctx.Err() != nil {
		b.sent.Store(newSending())
	}
	b.open.Store(b.shutting)
	b.s.outage.end(b)
	b.mu.Unlock()
	b.trace(false, nil)
	if !b.ofWrites {
		b.c.writes.wake()
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
		b.s.opts.Trace.Breaker(b.s.background, BreakerInfo{Open: open, Writes: b.ofWrites, Node: b.c.addr(), Err: err})
	}
}

// what returns what does not work while the breaker is open.
func (b *breaker) what() string {
	what := "reads"
	if b.ofWrites {
		what = "writes"
	}
	if b.c.node != nil {
		what += " of " + b.c.addr()
	}
	return what
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
