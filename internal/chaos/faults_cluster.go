package chaos

import (
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// clusters has the faults of a Cluster.
func clusters() []Fault {
	return []Fault{
		{Name: "cluster-baseline", on: replicated},
		killNode("cluster-kill-log", ofLog), killNode("cluster-kill-other", ofOther),
		stopNode("cluster-stop-log", ofLog), stopNode("cluster-stop-other", ofOther),
		{Name: "cluster-noreplica-stop-other", on: unreplicated, strike: func(s *scene) func() {
			node := ofOther(s)
			node.Pause()
			return func() {
				node.Resume()
				s.serves(s.cluster.Nodes()...)
			}
		}},
		{Name: "cluster-reshard", on: replicated, every: 100 * time.Millisecond, again: reshard()},
		{Name: "cluster-failover", on: replicated, brief: true, strike: func(s *scene) func() {
			s.cluster.Failover(ofLog(s))
			return func() { s.serves(s.cluster.Nodes()...) }
		}},
		partition("cluster-partition-log", ofLog), partition("cluster-partition-other", ofOther),
		seeded("cluster-dead-seed", func(s *scene) []string { return []string{redistest.Refused(s.t)} }),
		seeded("cluster-silent-seed", func(s *scene) []string { return []string{redistest.Blackhole(s.t)} }),
		{Name: "cluster-one-dead-seed", always: true, on: func(s *scene) {
			replicated(s)
			s.config.Addrs[0] = redistest.Refused(s.t)
		}},
	}
}

// which chooses a node of the Cluster.
type which func(*scene) *redistest.Server

// killNode and stopNode end when a replica has taken over.
func killNode(name string, which which) Fault {
	return Fault{Name: name, on: replicated, loses: true, brief: true, strike: func(s *scene) func() {
		node := which(s)
		node.Kill()
		return func() { s.awaitTakeover(node) }
	}}
}

func stopNode(name string, which which) Fault {
	return Fault{Name: name, on: replicated, loses: true, brief: true, strike: func(s *scene) func() {
		node := which(s)
		node.Pause()
		return func() {
			s.awaitTakeover(node)
			node.Resume()
		}
	}}
}

func (s *scene) awaitTakeover(node *redistest.Server) {
	s.t.Helper()
	s.cluster.AwaitFailover(node)
	s.serves(s.without(node)...)
}

// partition returns a fault that keeps the instances from a node, which the other nodes
// reach.
func partition(name string, which which) Fault {
	return Fault{Name: name, on: linkedCluster, strike: func(s *scene) func() {
		link := s.links[which(s).Addr()]
		link.Drop()
		return link.Restore
	}}
}

// seeded returns a fault of a client that starts from other addresses.
func seeded(name string, addrs func(*scene) []string) Fault {
	return Fault{Name: name, always: true, gone: true, on: func(s *scene) {
		s.config.Client, s.config.Addrs = clusterClient, addrs(s)
	}}
}

// reshard returns a function that moves the slot of the log, or of a key, to the next node.
func reshard() func(*scene) {
	moved := 0
	return func(s *scene) {
		nodes := s.cluster.Nodes()[:3]
		key := logKey
		if moved%2 == 1 {
			key = redis.DefaultPrefix + ":" + cacheName + ":0:" + keyName(moved)
		}
		s.cluster.MoveSlot(key, nodes[moved/2%len(nodes)])
		moved++
	}
}
