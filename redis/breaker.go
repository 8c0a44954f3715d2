package redis

import (
	"context"
	"errors"
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
type breaker struct {
	s       *Store
	open    atomic.Bool
	refused atomic.Uint64

	mu       sync.Mutex // guards all below
	shutting bool
	failures int // in a row
	opened   uint64
}

func newBreaker(s *Store) *breaker { return &breaker{s: s} }

// allows reports whether a command may be sent.
func (b *breaker) allows() bool {
	if b.open.Load() {
		b.refused.Add(1)
		return false
	}
	return true
}

// learn counts how a command went that was sent while the breaker was closed.
func (b *breaker) learn(err error) {
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
		b.s.inBackground(b.probe)
	}
	b.mu.Unlock()
	if opens {
		b.report(true, err)
	}
}

// probe sends a PING from time to time, until one is answered.
func (b *breaker) probe(ctx context.Context) {
	wait := b.s.opts.ProbeInterval
	longest := wait * maxProbeFactor
	for {
		pause := wait/2 + rand.N(wait/2+1)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if b.answered(ctx) {
			b.mu.Lock()
			b.failures = 0
			b.open.Store(b.shutting)
			b.mu.Unlock()
			b.report(false, nil)
			return
		}
		wait = min(2*wait, longest)
	}
}

func (b *breaker) answered(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, b.s.opts.Timeout)
	defer cancel()
	_, err := abandonable(ctx, func(ctx context.Context) (string, error) {
		return b.s.client.Ping(ctx).Result()
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
	ctx := b.s.background
	if open {
		b.s.opts.Logger.WarnContext(ctx, "redis does not serve; reads go to the source", "error", err)
	} else {
		b.s.opts.Logger.InfoContext(ctx, "redis serves again")
	}
	if b.s.opts.Trace.Breaker != nil {
		b.s.opts.Trace.Breaker(ctx, BreakerInfo{Open: open, Err: err})
	}
}

func (b *breaker) stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{
		BreakerOpen:    b.open.Load(),
		BreakerOpened:  b.opened,
		BreakerRefused: b.refused.Load(),
		LeasesRenewed:  b.s.renewed.Load(),
	}
}

// illReplies begin the replies of a server that cannot serve any command now, or
// not this client. Every other reply, an error too, is that of a server that
// does.
var illReplies = []string{
	"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY ",
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
