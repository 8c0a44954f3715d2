package redistest

import (
	"context"
	"net"
)

const (
	moveBatch   = 100  // keys in one MIGRATE
	moveTimeout = 5000 // of one MIGRATE, in ms
)

// MoveSlot moves key's slot, with all its keys, to the node to, as resharding does. During
// the move the old node answers for the keys that it still has, and redirects for the
// others. When MoveSlot returns, every node knows the new owner. All nodes have to be up:
// MoveSlot first waits until every node reports the cluster as ok.
func (c *Cluster) MoveSlot(key string, to *Server) {
	c.t.Helper()
	Eventually(c.t, clusterWithin, "redistest: every node says that the cluster is ok", c.formed)
	from := c.Node(key)
	if from == to {
		return
	}
	slot, err := from.client.ClusterKeySlot(context.Background(), key).Result()
	if err != nil {
		c.t.Fatalf("redistest: move: %v", err)
	}
	Eventually(c.t, clusterWithin, "redistest: the target knows that the owner is a primary", func() bool {
		return to.client.Do(context.Background(), "cluster", "setslot", slot, "importing", from.nodeID()).Err() == nil
	})
	from.do("cluster", "setslot", slot, "migrating", to.nodeID())
	for from.migrateSome(slot, to) {
	}
	// The new owner is set first: if the old node forgot the slot before, no node would
	// have it.
	to.do("cluster", "setslot", slot, "node", to.nodeID())
	for _, node := range c.nodes {
		if node.isPrimary() { // replicas refuse
			node.do("cluster", "setslot", slot, "node", to.nodeID())
		}
	}
}

func (s *Server) nodeID() string {
	s.t.Helper()
	id, err := s.do("cluster", "myid").Text()
	if err != nil {
		s.t.Fatalf("redistest: move: %v", err)
	}
	return id
}

// migrateSome moves some keys of a slot, and reports whether there were any.
func (s *Server) migrateSome(slot int64, to *Server) bool {
	s.t.Helper()
	keys, err := s.client.ClusterGetKeysInSlot(context.Background(), int(slot), moveBatch).Result()
	if err != nil {
		s.t.Fatalf("redistest: move: %v", err)
	}
	if len(keys) == 0 {
		return false
	}
	host, port, err := net.SplitHostPort(to.Addr())
	if err != nil {
		s.t.Fatalf("redistest: move: %v", err)
	}
	args := []any{"migrate", host, port, "", 0, moveTimeout, "replace"}
	if name, password := credentials(); name != "" {
		args = append(args, "auth2", name, password)
	}
	args = append(args, "keys")
	for _, key := range keys {
		args = append(args, key)
	}
	s.do(args...)
	return true
}
