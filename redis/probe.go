package redis

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// In the first minute of an outage the waits between probes are at most
	// promptProbeWait, unless Options.ProbeInterval is longer.
	promptProbes    = time.Minute
	promptProbeWait = 200 * time.Millisecond

	// Later maxProbeFactor times Options.ProbeInterval is the longest wait.
	maxProbeFactor = 10
)

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
		key, ok := b.c.probeKey(ctx)
		if !ok {
			b.retire(ctx)
			return
		}
		listens := woken && b.probesDue() == 1 || b.reached(ctx, key)
		if listens && b.clientServes(ctx, key) {
			b.drain(ctx)
			b.close()
			return
		}
		longest := b.longestWait(time.Since(began))
		wait = min(2*min(wait, longest), longest)
		if listens && !b.ofWrites { // the client needs another moment
			wait = b.s.opts.ProbeInterval
		}
	}
}

// retire closes the breaker of a node that has no slot any more, and forgets its circuit. The
// keys have the circuits of other nodes by now.
func (b *breaker) retire(ctx context.Context) {
	b.drain(ctx)
	b.close()
	b.s.circuits.remove(b.c)
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
	for _, b := range b.c.both() {
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

// reached makes a first attempt on a connection of its own, without the pool of go-redis.
// While the attempts fail, the Store's client is not used.
func (b *breaker) reached(ctx context.Context, key string) bool {
	all := ctx
	ctx, cancel := context.WithTimeout(ctx, b.s.connectTime())
	defer cancel()
	cluster, is := b.s.client.(*goredis.ClusterClient)
	if is && b.c.node == nil {
		return b.s.reach(ctx, cluster) == nil
	}
	if is {
		b.s.nodes.reload(b.s.background, cluster) // a replica may take over
	}
	o := b.c.server()
	conn, err := dial(ctx, o)
	if err != nil {
		if refused(err) {
			b.c.reads.gone(err)
		}
		return false
	}
	client := only(o, conn)
	defer client.Close()
	if isOutage(b.probe(ctx, client.Client, key)) {
		return false
	}
	for range b.probesDue() {
		if !b.answers(all, client, key) {
			return false
		}
	}
	return true
}

// connectTime returns the bound of a probe that may have to make a connection, which takes
// several round trips.
func (s *Store) connectTime() time.Duration {
	return max(s.opts.Timeout, min(4*min(s.opts.Timeout, time.Second), time.Second))
}

// answers reports whether a probe is answered within the budget of a command.
func (b *breaker) answers(ctx context.Context, client *lone, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, b.s.opts.Timeout)
	defer cancel()
	return !isOutage(b.probe(ctx, client.Client, key))
}

// maxProbes bounds the probes that are sent at once.
const maxProbes = 100

// clientServes reports whether the Store's client can carry out a command. The idle
// connections of the client's pools may all be dead, as after an address has moved, although
// new connections work. Each of them would cost a probe, or a caller, its time. So there are
// as many probes at once as connections: a connection that does not answer leaves its pool,
// and a second round finds new ones.
func (b *breaker) clientServes(ctx context.Context, key string) bool {
	if cluster, is := b.c.client().(*goredis.ClusterClient); is {
		return b.aNodeServes(ctx, cluster, key)
	}
	budget := b.s.opts.Timeout
	for range 2 {
		commands, pipelines := b.c.idle()
		if b.probeAll(ctx, key, budget, max(1, commands), pipelines) {
			return true
		}
	}
	// If Redis is far away, a new connection takes longer than the budget of a command, which
	// closes it then. So no connection would ever be made, if not here.
	return b.probeAll(ctx, key, b.s.connectTime(), cap(b.c.writes.places), cap(b.c.reads.places)) &&
		b.probeAll(ctx, key, budget, 1, 1)
}

// warmLater makes a connection of each pool ready in the background, after a command had no
// answer in time: the time may have gone into making one. There is a probe for each idle
// connection and one more, which needs a new one.
func (c *circuit) warmLater() {
	client, is := c.client().(*goredis.Client)
	if !is || !c.warming.CompareAndSwap(false, true) {
		return
	}
	if !c.s.inBackground(func(ctx context.Context) {
		defer c.warming.Store(false)
		stats, commands, pipelines := client.PoolStats(), 0, 0
		size, sizeOfPipelines := poolSizes(client)
		if int(stats.TotalConns) < size {
			commands = int(stats.IdleConns) + 1
		}
		if p := stats.PipelineStats; p != nil && int(p.TotalConns) < cmp.Or(sizeOfPipelines, goredis.DefaultPipelinePoolSize) {
			pipelines = int(p.IdleConns) + 1
		}
		if key, ok := c.probeKey(ctx); ok {
			c.reads.probeAll(ctx, key, c.s.connectTime(), commands, pipelines)
		}
	}) {
		c.warming.Store(false)
	}
}

// aNodeServes reports whether one primary of a Cluster answers a probe. From then on the nodes
// have breakers of their own, so that the others need not wait for one that is away. A primary
// without the slot of the key answers with the address of another.
func (b *breaker) aNodeServes(ctx context.Context, cluster *goredis.ClusterClient, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, b.s.opts.Timeout)
	defer cancel()
	var serves atomic.Bool
	_, _ = abandonable(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, cluster.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
			if !isOutage(b.probe(ctx, node, key)) {
				serves.Store(true)
			}
			return nil
		})
	})
	if serves.Load() {
		b.s.circuits.known.Store(true)
	}
	return serves.Load()
}

// probeAll sends so many probes at once, as commands and as pipelines, which have connections
// of their own. It reports whether one of each was answered in time.
func (b *breaker) probeAll(ctx context.Context, key string, within time.Duration, commands, pipelines int) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	client := b.c.client()
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
	probe(commands, &ofCommands, func(ctx context.Context) error { return b.probe(ctx, client, key) })
	probe(pipelines, &ofPipelines, func(ctx context.Context) error {
		pipe := client.Pipeline()
		_ = b.probe(ctx, pipe, key)
		_, err := pipe.Exec(ctx)
		return err
	})
	probes.Wait()
	return ofCommands.Load() && (pipelines == 0 || ofPipelines.Load())
}
