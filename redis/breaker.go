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

const (
	// In the first minute of an outage the waits between probes are at most
	// promptProbeWait, unless Options.ProbeInterval is longer.
	promptProbes    = time.Minute
	promptProbeWait = 250 * time.Millisecond

	// Later maxProbeFactor times Options.ProbeInterval is the longest wait.
	maxProbeFactor = 10
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

// probeUntilUp probes from time to time, until Redis serves.
func (b *breaker) probeUntilUp(ctx context.Context) {
	wait, began := b.s.opts.ProbeInterval, time.Now()
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
		if listens && b.clientServes(ctx) {
			b.drain(ctx)
			b.close()
			return
		}
		longest := b.longestWait(time.Since(began))
		wait = min(2*min(wait, longest), longest)
		if listens && b.within == nil { // the client needs another moment
			wait = b.s.opts.ProbeInterval
		}
	}
}

// longestWait returns the longest wait between two probes, after an outage of that length. A
// short outage is over for the callers soon after the server is back. A long one costs the
// server and the network fewer probes.
func (b *breaker) longestWait(outage time.Duration) time.Duration {
	interval := b.s.opts.ProbeInterval
	if outage < promptProbes {
		return max(interval, promptProbeWait)
	}
	return max(interval, maxProbeFactor*min(interval, math.MaxInt64/maxProbeFactor))
}

// drainBudgets is for how many budgets a breaker waits for the invalidations that are queued.
const drainBudgets = 4

// drain lets the followers make the invalidations that they have queued, before commands that
// read are sent again: other instances may read the keys.
func (b *breaker) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainBudgets*min(b.s.opts.Timeout, math.MaxInt64/drainBudgets))
	defer cancel()
	for _, b := range []*breaker{b.s.reads, b.s.writes} {
		b.draining.Add(1)
		defer b.draining.Add(-1)
	}
	var followers sync.WaitGroup
	for _, p := range b.s.logs {
		for _, f := range p.currentFollowers() {
			followers.Go(func() { f.Recovered(ctx) })
		}
	}
	followers.Wait()
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

// reached makes a first attempt on a connection of its own, without the pool of go-redis.
// While the attempts fail, the Store's client is not used.
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
		return !isOutage(b.probe(ctx, client.Client))
	}
	return true
}

// maxProbes bounds the probes that are sent at once.
const maxProbes = 100

// clientServes reports whether the Store's client can carry out a command. The idle
// connections of the client's pools may all be dead, as after an address has moved, although
// new connections work. Each of them would cost a probe, or a caller, its time. So there are
// as many probes at once as connections: a connection that does not answer leaves its pool,
// and a second round finds new ones. A Cluster gets one probe, because its connections lead
// to many nodes.
func (b *breaker) clientServes(ctx context.Context) bool {
	for range 2 {
		if b.probeAll(ctx) {
			return true
		}
	}
	return false
}

// probeAll sends a probe for each idle connection, and reports whether one was answered in
// each pool. Pipelines have a pool of their own.
func (b *breaker) probeAll(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, b.s.opts.Timeout)
	defer cancel()
	commands, pipelines := 1, 0
	if stats := b.s.client.PoolStats(); b.s.single {
		commands = max(1, int(stats.IdleConns))
		if stats.PipelineStats != nil {
			pipelines = int(stats.PipelineStats.IdleConns)
		}
	}
	var ofCommands, ofPipelines atomic.Bool
	var probes sync.WaitGroup
	probe := func(n int, serves *atomic.Bool, send func(context.Context) error) {
		for range min(n, maxProbes) {
			probes.Go(func() {
				_, err := abandonable(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, send(ctx) })
				if !isOutage(err) {
					serves.Store(true)
				}
			})
		}
	}
	probe(commands, &ofCommands, func(ctx context.Context) error { return b.probe(ctx, b.s.client) })
	probe(pipelines, &ofPipelines, func(ctx context.Context) error {
		pipe := b.s.client.Pipeline()
		_ = b.probe(ctx, pipe)
		_, err := pipe.Exec(ctx)
		return err
	})
	probes.Wait()
	return ofCommands.Load() && (pipelines == 0 || ofPipelines.Load())
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
// that serves.
var illReplies = []string{
	"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY ",
	"READONLY", "MISCONF", "NOREPLICAS",
	"NOAUTH", "WRONGPASS", "ERR max number of clients",
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
	for _, prefix := range illReplies {
		if strings.HasPrefix(reply.Error(), prefix) {
			return true
		}
	}
	return false
}
