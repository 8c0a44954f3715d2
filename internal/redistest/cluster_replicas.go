package redistest

import (
	"context"
	"time"
)

// AddReplicas starts a replica for each primary. It returns when every node knows all others,
// and each replica has a copy.
func (c *Cluster) AddReplicas() {
	c.t.Helper()
	primaries := c.nodes
	for range primaries {
		c.nodes = append(c.nodes, Start(c.t, c.args...))
	}
	for _, replica := range c.nodes[len(primaries):] {
		for _, other := range c.nodes {
			if other != replica {
				replica.do("cluster", "meet", loopback, other.port)
			}
		}
	}
	Eventually(c.t, clusterWithin, "redistest: every node knows the replicas", c.formed)
	for i, primary := range primaries {
		c.nodes[len(primaries)+i].do("cluster", "replicate", primary.nodeID())
	}
	for _, replica := range c.nodes[len(primaries):] {
		Eventually(c.t, linkWithin, "redistest: the replica's link to its primary is up", func() bool {
			return replica.info("replication")["master_link_status"] == "up"
		})
	}
	Eventually(c.t, clusterWithin, "redistest: every primary knows its replica", func() bool {
		for _, primary := range primaries {
			if primary.info("replication")["connected_slaves"] != "1" {
				return false
			}
		}
		return c.formed()
	})
}

// Replica returns the replica that AddReplicas has started for a primary.
func (c *Cluster) Replica(primary *Server) *Server {
	c.t.Helper()
	half := len(c.nodes) / 2
	for i, node := range c.nodes[:half] {
		if node == primary {
			return c.nodes[half+i]
		}
	}
	c.t.Fatal("redistest: cluster: not a primary with a replica")
	return nil
}

// Failover lets the replica of a primary take over, as an operator does. It returns when the
// replica has done so.
func (c *Cluster) Failover(primary *Server) {
	c.t.Helper()
	replica := c.Replica(primary)
	var asked time.Time
	Eventually(c.t, takeoverWithin, "redistest: the replica takes over", func() bool {
		if time.Since(asked) > failoverAttempt {
			_ = replica.client.ClusterFailover(context.Background()).Err()
			asked = time.Now()
		}
		return replica.isPrimary()
	})
}

const (
	takeoverWithin  = time.Minute     // on a busy machine an election fails more than once
	failoverAttempt = 6 * time.Second // Redis gives an attempt up after 5 s
)

// AwaitFailover returns when the replica of a primary has taken over. For a primary that was
// killed or paused this takes some seconds.
func (c *Cluster) AwaitFailover(primary *Server) {
	c.t.Helper()
	replica := c.Replica(primary)
	Eventually(c.t, takeoverWithin, "redistest: the replica takes over", replica.isPrimary)
}

// isPrimary reports whether the server says that it is a primary.
func (s *Server) isPrimary() bool {
	s.t.Helper()
	return s.info("replication")["role"] == "master"
}
