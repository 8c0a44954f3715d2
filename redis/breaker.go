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
const maxProbeFactor = 20

// breaker keeps commands from a Redis that does not serve. It opens after so
// many failures in a row, and a probe in the background closes it: never a
// user's call, which would pay for the attempt.
//
// A Store has two. That of the commands that write counts apart, because a
// Redis may answer every GET and no SET: a replica, or a server in the middle of
// a failover. Were the GETs to start its count anew, every miss would pay for a
// command that fails. While that of the reads is open, nothing is sent at all.
type breaker struct {
	s       *Store
	within  *breaker // while this one is open, so are we; nil for reads
	probe   func(context.Context) error
	open    atomic.Bool
	refused atomic.Uint64

	mu       sync.Mutex // guards all below
	shutting bool
	failures int // in a row
	opened   uint64
}

// newBreakers returns the breaker of the commands that read, and that of those
// that write. Their probes touch a key that no cache has, since a cache's name
// stands between two colons. They leave nothing behind.
func newBreakers(s *Store) (reads, writes *breaker) {
	key := s.opts.Prefix + ":probe"
	reads = &breaker{s: s, probe: func(ctx context.Context) error {
		return s.client.Get(ctx, key).Err()
	}}
	writes = &breaker{s: s, within: reads, probe: func(ctx context.Context) error {
		return s.client.Unlink(ctx, key).Err()
	}}
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
	b.mu.Lock()
	b.failures++
	opens := b.failures >= b.s.opts.MaxFailures && !b.open.Load() && !b.shutting
	if opens {
		b.open.Store(true)
		b.opened++
		b.s.inBackground(b.heal)
	}
	b.mu.Unlock()
	if opens {
		b.report(true, err)
	}
}

// heal probes from time to time, until Redis serves.
func (b *breaker) heal(ctx context.Context) {
	wait := b.s.opts.ProbeInterval
	longest := max(wait, maxProbeFactor*min(wait, math.MaxInt64/maxProbeFactor))
	for {
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		case <-ctx.Done():
			return
		}
		if b.serves(ctx) {
			b.mu.Lock()
			b.failures = 0
			b.open.Store(b.shutting)
			b.mu.Unlock()
			b.report(false, nil)
			return
		}
		wait = 2 * min(wait, longest/2)
	}
}

func (b *breaker) serves(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, b.s.opts.Timeout)
	defer cancel()
	_, err := abandonable(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, b.probe(ctx)
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

func (b *breaker) report(open bool, err error) {
	ctx, what := b.s.background, "reads"
	if b.within != nil {
		what = "writes"
	}
	if open {
		b.s.opts.Logger.WarnContext(ctx, "redis does not serve "+what+"; the source does", "error", err)
	} else {
		b.s.opts.Logger.InfoContext(ctx, "redis serves "+what+" again")
	}
	if b.s.opts.Trace.Breaker != nil {
		b.s.opts.Trace.Breaker(ctx, BreakerInfo{Open: open, Writes: b.within != nil, Err: err})
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
