package redis

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// maxProbeFactor times Options.ProbeInterval is the longest wait between probes.
const maxProbeFactor = 10

// breaker keeps commands from a Redis that does not serve. It opens after so
// many failures in a row, and a probe in the background closes it: never a
// user's call, which would pay for the attempt.
//
// It opens at once when the server's address refuses a connection that the reader of the
// log or a probe dials: then nobody listens. The commands that are under way end, because
// the client that was handed in would dial for them again and again, and log that.
//
// A Store has two. That of the commands that write counts apart, because a
// Redis may answer every GET and no SET: a replica, or a server in the middle of
// a failover. Were the GETs to start its count anew, every miss would pay for a
// command that fails. While that of the reads is open, nothing is sent at all.
type breaker struct {
	s       *Store
	what    string
	within  *breaker // while this one is open, so are we; nil for reads
	probe   func(context.Context, goredis.Cmdable) error
	open    atomic.Bool
	refused atomic.Uint64
	woken   chan struct{} // gets an element when the log is read again
	sent    atomic.Pointer[sending]

	mu       sync.Mutex // guards all below
	shutting bool
	failures int // in a row
	opened   uint64
}

// sending is the context of the commands that are under way. It ends when nobody listens.
type sending struct {
	ctx context.Context
	end context.CancelCauseFunc
}

func newSending() *sending {
	ctx, end := context.WithCancelCause(context.Background())
	return &sending{ctx, end}
}

// newBreakers returns the breaker of the commands that read, and that of those
// that write. Their probes touch a key that no cache has, since a cache's name
// stands between two colons. They leave nothing behind.
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
	if b.open.Load() {
		b.refused.Add(1)
		return false
	}
	return b.within == nil || b.within.allows()
}

// learn counts how a command went that was sent while the breaker was closed.
func (b *breaker) learn(err error) {
	if err == errIdle {
		return
	}
	if !ill(err) {
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

// gone opens the breaker because nobody listens, and ends the commands under way.
func (b *breaker) gone(err error) {
	err = told(err)
	b.mu.Lock()
	report := b.openLocked(err)
	b.sent.Load().end(err)
	b.mu.Unlock()
	report()
}

// openLocked opens the breaker because of err, and returns what reports that. The outage
// is noted under the lock. After it:
//
//  1. The breaker opens, and its lock is free.
//  2. A probe closes it. The outage has no such cause yet, and stays as it is.
//  3. The outage gets the cause, which never goes.
func (b *breaker) openLocked(err error) (report func()) {
	if b.open.Load() || b.shutting {
		return func() {}
	}
	b.open.Store(true)
	b.opened++
	select {
	case <-b.woken: // of before
	default:
	}
	b.s.inBackground(b.heal)
	write := b.s.outage.begin(b, b.what, err)
	return func() {
		write()
		b.trace(true, err)
	}
}

// heal probes from time to time, until Redis serves.
func (b *breaker) heal(ctx context.Context) {
	wait := b.s.opts.ProbeInterval
	longest := max(wait, maxProbeFactor*min(wait, math.MaxInt64/maxProbeFactor))
	for {
		woken := false
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		case <-b.woken:
			woken = true
		case <-ctx.Done():
			return
		}
		listens := woken || b.reached(ctx)
		if listens && b.serves(ctx) {
			b.close()
			return
		}
		wait = 2 * min(wait, longest/2)
		if listens && b.within == nil { // the client needs another moment
			wait = b.s.opts.ProbeInterval
		}
	}
}

// wake ends the wait for the next probe: the log is read again.
func (b *breaker) wake() {
	if !b.open.Load() {
		return
	}
	select {
	case b.woken <- struct{}{}:
	default:
	}
}

// close lets commands be sent again. They get a new context first:
//
//  1. send sees that the breaker is closed.
//  2. The context ends, because nobody listens, and the breaker opens.
//  3. send takes the context, and sends its command with it.
//
// The context that send finds at step 3 has ended, as long as the breaker is open.
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
		for _, p := range b.s.logs {
			p.wake()
		}
	}
}

// reached makes a first attempt on a connection of its own, which go-redis' pool has no
// part in. While that fails the Store's client is left alone.
func (b *breaker) reached(ctx context.Context) bool {
	budget := b.s.opts.Timeout
	ctx, cancel := context.WithTimeout(ctx, max(budget, min(4*budget, time.Second)))
	defer cancel()
	switch c := b.s.client.(type) {
	case *goredis.ClusterClient:
		return b.s.reach(ctx, c) == nil
	case *goredis.Client:
		conn, err := dial(ctx, c.Options())
		if err != nil {
			if refused(err) {
				b.s.reads.gone(err)
			}
			return false
		}
		client := only(c.Options(), conn)
		defer client.Close()
		return !ill(b.probe(ctx, client.Client))
	}
	return true
}

// serves reports whether the Store's client can serve a command.
func (b *breaker) serves(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, b.s.opts.Timeout)
	defer cancel()
	_, err := abandonable(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, b.probe(ctx, b.s.client)
	})
	return !ill(err)
}

// shut opens the breaker for good.
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

// illReplies begin the replies of a server that cannot serve any command now, or
// none that writes, or not this client. Every other reply, an error too, is that
// of a server that does.
var illReplies = []string{
	"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY ",
	"READONLY", "MISCONF", "NOREPLICAS",
	"NOAUTH", "WRONGPASS", "ERR max number of clients",
}

// ill reports whether err says that Redis does not serve.
func ill(err error) bool {
	if err == nil {
		return false
	}
	var reply goredis.Error
	if !errors.As(err, &reply) {
		return true
	}
	for _, prefix := range illReplies {
		if strings.HasPrefix(reply.Error(), prefix) {
			return true
		}
	}
	return false
}
