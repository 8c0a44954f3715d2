package redis

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// circuit is the pair of breakers of one server: of the commands that read, and of the
// commands that write. Two are needed, because a Redis may answer every GET and no SET: a
// replica, or a server in a failover. If the GETs reset the count of failures, every miss
// would pay for a command that fails.
type circuit struct {
	s             *Store
	node          *goredis.Client // the client's part for a node of a Cluster; otherwise nil
	reads, writes *breaker
	ends          joinedEnds
	probed        atomic.Pointer[string] // the last key of a probe
	warming       atomic.Bool            // warmLater is under way
}

// newCircuit returns the circuit of a node of a Cluster. Without a node it returns the
// circuit of the Store's client as a whole.
func newCircuit(s *Store, node *goredis.Client) *circuit {
	c := &circuit{s: s, node: node}
	c.reads = newBreaker(c, func(ctx context.Context, client goredis.Cmdable, key string) error {
		return client.Get(ctx, key).Err()
	})
	c.writes = newBreaker(c, func(ctx context.Context, client goredis.Cmdable, key string) error {
		return client.Unlink(ctx, key).Err()
	})
	c.writes.ofWrites = true
	reads, misses := placesOf(poolSizes(c.client()))
	c.reads.places, c.writes.places = make(chan struct{}, reads), make(chan struct{}, misses)
	c.reads.gates = []*breaker{c.reads}
	c.writes.gates = []*breaker{c.writes, c.reads}
	if node != nil {
		c.reads.gates = append(c.reads.gates, s.whole.reads)
		c.writes.gates = append(c.writes.gates, s.whole.writes, s.whole.reads)
	}
	return c
}

// poolSizes returns the sizes of the pools that a client has for each server.
func poolSizes(client goredis.UniversalClient) (connections, pipelines int) {
	switch client := client.(type) {
	case *goredis.Client:
		return client.Options().PoolSize, client.Options().PipelinePoolSize
	case *goredis.ClusterClient:
		return client.Options().PoolSize, client.Options().PipelinePoolSize
	}
	return 0, 0
}

func (c *circuit) both() [2]*breaker { return [2]*breaker{c.reads, c.writes} }

// wake ends the waits for the next probes.
func (c *circuit) wake() {
	c.reads.wake()
	c.writes.wake()
}

func (c *circuit) shut() {
	c.reads.shut()
	c.writes.shut()
}

func (c *circuit) isOpen() bool { return c.reads.open.Load() || c.writes.open.Load() }

// addr returns the address of the node; "" for the circuit of the Store's client as a whole.
func (c *circuit) addr() string {
	if c.node == nil {
		return ""
	}
	return c.node.Options().Addr
}

// client returns the client that has the connections to the circuit's server.
func (c *circuit) client() goredis.UniversalClient {
	if c.node == nil {
		return c.s.client
	}
	return c.node
}

// idle returns the numbers of idle connections to the circuit's server, those for single
// commands and those for pipelines; 0 for a whole Cluster.
func (c *circuit) idle() (commands, pipelines int) {
	client, is := c.client().(*goredis.Client)
	if !is {
		return 0, 0
	}
	stats := client.PoolStats()
	if stats.PipelineStats != nil {
		pipelines = int(stats.PipelineStats.IdleConns)
	}
	return int(stats.IdleConns), pipelines
}

// server returns the options of a connection to the circuit's server; nil if the circuit is
// that of a whole Cluster.
func (c *circuit) server() *goredis.Options {
	switch client := c.s.client.(type) {
	case *goredis.ClusterClient:
		if c.node != nil {
			return nodeOptions(client, c.node.Options())
		}
	case *goredis.Client:
		return client.Options()
	}
	return nil
}

// maxProbeKeys bounds the search for a key of a node. A node with one slot of 16,384 has one
// key in as many.
const maxProbeKeys = 1 << 17

// probeKey returns a key for probes. No cache has the key, because the keys of a cache have
// the cache's name between two colons, and probes store nothing. For a node of a Cluster the
// key is in a slot of the node: another node's slot would be redirected, which says little
// about the node. If the node has no slot any more, ok is false.
func (c *circuit) probeKey(ctx context.Context) (key string, ok bool) {
	cluster, is := c.s.client.(*goredis.ClusterClient)
	key = c.s.opts.Prefix + ":probe"
	if c.node == nil || !is {
		return key, true
	}
	isOfNode := func(key string) bool {
		node, err := cluster.MasterForKey(ctx, key)
		return err != nil || node == c.node
	}
	if last := c.probed.Load(); last != nil && isOfNode(*last) {
		return *last, true
	}
	for i := range maxProbeKeys {
		if probe := key + "{" + strconv.Itoa(i) + "}"; isOfNode(probe) {
			c.probed.Store(&probe)
			return probe, true
		}
	}
	return "", false
}

// maxCircuits bounds the circuits of nodes that a Store has at once. Redis recommends at most
// 1,000 nodes.
const maxCircuits = 1000

// circuits are the circuits of the nodes of a Cluster. A node gets its circuit with the first
// command for one of its keys. So one dead node costs the keys of the other nodes nothing.
type circuits struct {
	// known is set once the client has answered a command, and so knows which node has which
	// slot. Before, to ask the client for a node would take a round trip.
	known atomic.Bool

	mu       sync.RWMutex // guards all below
	shutting bool
	nodes    map[*goredis.Client]*circuit
}

// circuitOf returns the circuit of the server that has a key of Redis. It sends nothing: the
// client computes the slot of the key, and finds the node in its memory, as it does for a
// command. When a slot moves, or a replica takes over, the slot's keys get another circuit.
// Until the client knows the nodes of a Cluster, all keys have the circuit of the whole.
func (s *Store) circuitOf(key string) *circuit {
	if s.single || !s.circuits.known.Load() {
		return s.whole
	}
	cluster, is := s.client.(*goredis.ClusterClient)
	if !is {
		return s.whole
	}
	node, err := cluster.MasterForKey(s.background, key)
	if err != nil {
		return s.whole
	}
	return s.circuits.of(s, node)
}

// of returns the circuit of a node.
func (cs *circuits) of(s *Store, node *goredis.Client) *circuit {
	cs.mu.RLock()
	c := cs.nodes[node]
	cs.mu.RUnlock()
	if c != nil {
		return c
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.nodes[node]; c != nil {
		return c
	}
	if cs.nodes == nil {
		cs.nodes = make(map[*goredis.Client]*circuit)
	}
	if len(cs.nodes) >= maxCircuits { // a closed one is made again when it is needed
		for node, c := range cs.nodes {
			if !c.isOpen() {
				delete(cs.nodes, node)
			}
		}
	}
	c = newCircuit(s, node)
	if cs.shutting {
		c.shut()
	}
	cs.nodes[node] = c
	return c
}

// all returns the circuits of all nodes.
func (cs *circuits) all() []*circuit {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	all := make([]*circuit, 0, len(cs.nodes))
	for _, c := range cs.nodes {
		all = append(all, c)
	}
	return all
}

// remove forgets the circuit of a node that has no slot any more.
func (cs *circuits) remove(c *circuit) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.nodes[c.node] == c {
		delete(cs.nodes, c.node)
	}
}

// shut shuts all circuits, also those that are made later.
func (cs *circuits) shut() {
	cs.mu.Lock()
	cs.shutting = true
	cs.mu.Unlock()
	for _, c := range cs.all() {
		c.shut()
	}
}

// byCircuit calls do for the names of each circuit, side by side. It returns the names for
// which do has failed, and the worst error of do.
func (s *Store) byCircuit(names []string, do func(*circuit, []string) error) (failed []string, err error) {
	parts := s.split(names)
	if len(parts) == 1 {
		for c := range parts {
			if err := do(c, names); err != nil {
				return names, err
			}
		}
		return nil, nil
	}
	var mu sync.Mutex // guards failed and err
	var calls sync.WaitGroup
	for c, names := range parts {
		calls.Go(func() {
			if of := do(c, names); of != nil {
				mu.Lock()
				defer mu.Unlock()
				failed, err = append(failed, names...), worse(err, of)
			}
		})
	}
	calls.Wait()
	return failed, err
}

// worse returns the error that says more about what may still happen: first that of a command
// that may be carried out later, last that of a command that was not sent.
func worse(a, b error) error {
	if a == nil || !mayArrive(a) && mayArrive(b) || errors.Is(a, remote.ErrUnavailable) {
		return b
	}
	return a
}

// split returns the names of each circuit.
func (s *Store) split(names []string) map[*circuit][]string {
	if s.single {
		return map[*circuit][]string{s.whole: names}
	}
	parts := make(map[*circuit][]string)
	for _, name := range names {
		c := s.circuitOf(s.redisKey(name))
		parts[c] = append(parts[c], name)
	}
	return parts
}
