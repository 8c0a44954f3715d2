package redis

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// maxNodes bounds the nodes of a Cluster that are dialed at once.
	maxNodes = 32

	// stragglers is how long the other nodes of a Cluster are waited for, of which none
	// could be dialed, once one can.
	stragglers = time.Second
)

// nodes are the addresses of the nodes of a Cluster, as far as they are known. While an
// outage lasts they are dialed directly: go-redis asks for the slots through its pools.
type nodes struct {
	mu    sync.Mutex // guards all below
	known []string   // beyond those that the client was given
	all   bool       // no node could be dialed, since when all could
	some  time.Time  // when a first one could again
}

// learn notes the nodes that have slots.
func (n *nodes) learn(slots []goredis.ClusterSlot) {
	var known []string
	for _, slot := range slots {
		if len(slot.Nodes) > 0 && !slices.Contains(known, slot.Nodes[0].Addr) {
			known = append(known, slot.Nodes[0].Addr)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(known) > 0 {
		n.known = known
	}
}

func (n *nodes) addrs(seeds []string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	addrs := slices.Clone(n.known)
	for _, seed := range seeds {
		if !slices.Contains(addrs, seed) {
			addrs = append(addrs, seed)
		}
	}
	return addrs[:min(len(addrs), maxNodes)]
}

// judge returns the error with which nodes could not be dialed, if there is no use in
// asking go-redis for a node. That is so while none can be dialed, and for a while longer
// when they come back one after the other: go-redis would dial those that are still away.
func (n *nodes) judge(failures []error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	failed := slices.IndexFunc(failures, func(err error) bool { return err != nil })
	alive := slices.Contains(failures, nil)
	switch {
	case failed < 0:
		n.all, n.some = false, time.Time{}
		return nil
	case !alive:
		n.all, n.some = true, time.Time{}
		return failures[failed]
	case !n.all:
		return nil
	case n.some.IsZero():
		n.some = time.Now()
	}
	if time.Since(n.some) < stragglers {
		return failures[failed]
	}
	n.all = false
	return nil
}

// reach returns an error while no node of the Cluster can be dialed. A node that neither
// takes nor refuses a connection costs a quarter of LogTimeout, and not all of it.
func (s *Store) reach(ctx context.Context, c *goredis.ClusterClient) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.LogTimeout/4)
	defer cancel()
	addrs := s.nodes.addrs(c.Options().Addrs)
	failures := make([]error, len(addrs))
	var dials sync.WaitGroup
	for i, addr := range addrs {
		dials.Go(func() {
			conn, err := dial(ctx, nodeOptions(c, &goredis.Options{Network: "tcp", Addr: addr}))
			if err == nil {
				_ = conn.Close()
			}
			failures[i] = err
		})
	}
	dials.Wait()
	err := s.nodes.judge(failures)
	if err != nil && !slices.ContainsFunc(failures, func(err error) bool { return !refused(err) }) {
		s.reads.gone(err)
	}
	return err
}

// nodeOptions returns the options of a node, with a dialer that heeds its context unless
// the client was given another.
func nodeOptions(c *goredis.ClusterClient, o *goredis.Options) *goredis.Options {
	one := *o
	if one.Dialer == nil {
		one.Dialer = c.Options().Dialer
	}
	if one.Dialer == nil || c.Options().Dialer == nil && c.Options().TLSConfig != nil {
		one.Dialer = netDialer(c.Options().TLSConfig)
	}
	return &one
}

// logNode returns the options of the node of a Cluster that has the log. A node that says
// where the log has moved to knows better than go-redis.
func (p *partition) logNode(ctx context.Context, c *goredis.ClusterClient) (*goredis.Options, error) {
	if err := p.s.reach(ctx, c); err != nil {
		return nil, err
	}
	c.ReloadState(ctx) // in the background, for the next time
	node, err := abandonable(ctx, func(ctx context.Context) (*goredis.Client, error) { return c.MasterForKey(ctx, p.key) })
	if err != nil {
		return nil, err
	}
	o := nodeOptions(c, node.Options())
	if host, port, err := net.SplitHostPort(p.movedTo); err == nil {
		if host == "" { // the same as of who said so
			host, _, _ = net.SplitHostPort(o.Addr)
		}
		o.Addr = net.JoinHostPort(host, port)
	}
	return o, nil
}

// learnNodes asks for the nodes of the Cluster on the connection of the log. A user who
// may not ask is left with what the client was given.
func (r *session) learnNodes(ctx context.Context) {
	if r.s.single {
		return
	}
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	//lint:ignore SA1019 CLUSTER SHARDS, which replaces CLUSTER SLOTS, is not in Redis 6
	if slots, err := r.client.ClusterSlots(ctx).Result(); err == nil {
		r.s.nodes.learn(slots)
	}
}
