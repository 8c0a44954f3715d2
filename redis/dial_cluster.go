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
	// maxNodes bounds the nodes of a Cluster dialed at once.
	maxNodes = 32

	// stragglers is how long the Store waits, after an outage of all nodes of a Cluster,
	// for the other nodes once a first node can be dialed.
	stragglers = time.Second

	// maxReloads bounds the reloads of a client's slots that run at once, and reloadPause is
	// the shortest time between the starts of two.
	maxReloads  = 4
	reloadPause = 100 * time.Millisecond
)

// nodes are the known addresses of the nodes of a Cluster. During an outage the Store dials
// the nodes directly, because go-redis asks for the slots through its pools.
type nodes struct {
	mu    sync.Mutex // guards all below
	known []string   // besides the addresses that the client was given
	all   bool       // no node could be dialed, and not all can be dialed again
	some  time.Time  // when a first node could be dialed again

	reloads  int       // under way
	reloaded time.Time // when the last one started
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

// judge returns one of failures, the dial errors of the nodes, if the Store must not ask
// go-redis for a node yet. While no node can be dialed, judge returns an error. After such
// an outage, judge goes on returning an error until all nodes can be dialed, or until
// stragglers has passed since the first node could be dialed again. Before that, go-redis
// would dial the nodes that are still down.
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
// takes nor refuses a connection costs a quarter of LogTimeout, and not all of LogTimeout.
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
		s.whole.reads.gone(err)
		for _, c := range s.circuits.all() {
			c.reads.gone(err)
		}
	}
	return err
}

// reload makes the client ask a node of its choice for the slots, in the background. A node
// that hangs holds the client up for the client's read timeout, 5 s by default. ReloadState of
// go-redis would ask no other node in that time. So up to maxReloads run at once.
func (n *nodes) reload(ctx context.Context, c *goredis.ClusterClient) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.reloads == maxReloads || time.Since(n.reloaded) < reloadPause {
		return
	}
	n.reloads++
	n.reloaded = time.Now()
	go func() {
		_ = c.ForEachMaster(ctx, func(context.Context, *goredis.Client) error { return nil })
		n.mu.Lock()
		defer n.mu.Unlock()
		n.reloads--
	}()
}

// nodeOptions returns the options of a node, with a dialer that heeds its context unless
// the client has a dialer of its own.
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

// logNode returns the options of the node of a Cluster that has the log. If a node has
// replied that the log has moved, logNode uses the address in the reply, and not the node
// that go-redis names.
func (p *partition) logNode(ctx context.Context, c *goredis.ClusterClient) (*goredis.Options, error) {
	if err := p.s.reach(ctx, c); err != nil {
		return nil, err
	}
	p.s.nodes.reload(p.s.background, c) // for the next time
	node, err := abandonable(ctx, func(ctx context.Context) (*goredis.Client, error) { return c.MasterForKey(ctx, p.key) })
	if err != nil {
		return nil, err
	}
	o := nodeOptions(c, node.Options())
	if host, port, err := net.SplitHostPort(p.movedTo); err == nil {
		if host == "" { // the host of the node that replied
			host, _, _ = net.SplitHostPort(o.Addr)
		}
		o.Addr = net.JoinHostPort(host, port)
	}
	return o, nil
}

// learnNodes asks for the nodes of the Cluster, on the connection of the log. If the user
// may not ask, the Store uses the addresses that the client was given.
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
