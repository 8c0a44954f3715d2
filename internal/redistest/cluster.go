package redistest

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	clusterSlots  = 16384
	clusterWithin = 20 * time.Second
)

// Cluster is a Redis Cluster of primaries, without replicas or with one for each primary:
// see [Cluster.AddReplicas].
type Cluster struct {
	t     testing.TB
	args  []string
	nodes []*Server // the primaries at the start, and then their replicas in the same order
}

// StartCluster starts a cluster of that many primaries, which share the slots evenly. It
// returns when every node knows all others and reports the cluster as ok. Redis itself
// waits 2 s before a new cluster is ok. A node that does not answer for 2 s counts as
// failed. The args are those of [Start], for each node. The nodes end with t.
func StartCluster(t testing.TB, primaries int, args ...string) *Cluster {
	t.Helper()
	if primaries < 1 || primaries > clusterSlots {
		t.Fatalf("redistest: a cluster of %d primaries", primaries)
	}
	c := &Cluster{t: t, args: append(clusterFlags(), args...)}
	for range primaries {
		c.nodes = append(c.nodes, Start(t, c.args...))
	}
	c.form()
	Eventually(t, clusterWithin, "redistest: every node says that the cluster is ok", c.formed)
	return c
}

func clusterFlags() []string {
	return []string{
		"--cluster-enabled", "yes",
		"--cluster-config-file", "nodes.conf",
		"--cluster-node-timeout", "2000",
		"--cluster-announce-ip", loopback,
	}
}

// form gives each node its slots and a config epoch of its own, and introduces each node to
// every other. With introductions to the first node alone the others would find each other
// by gossip, which takes seconds.
func (c *Cluster) form() {
	c.t.Helper()
	for i, node := range c.nodes {
		first, last := slotRange(i, len(c.nodes))
		node.do("cluster", "addslotsrange", first, last)
		node.do("cluster", "set-config-epoch", i+1)
	}
	for _, node := range c.nodes {
		for _, other := range c.nodes {
			if other != node {
				node.do("cluster", "meet", loopback, other.port)
			}
		}
	}
}

// slotRange returns the first and the last slot of node i of n.
func slotRange(i, n int) (first, last int) {
	return i * clusterSlots / n, (i+1)*clusterSlots/n - 1
}

// formed reports whether every node sees a whole cluster. The number of known nodes must be
// exact: a node in a handshake counts as known until the handshake ends, or the node is
// dropped as a duplicate.
func (c *Cluster) formed() bool {
	known := strconv.Itoa(len(c.nodes))
	return !slices.ContainsFunc(c.nodes, func(node *Server) bool {
		text, err := node.client.ClusterInfo(context.Background()).Result()
		info := fields(text)
		return err != nil || info["cluster_state"] != "ok" || info["cluster_known_nodes"] != known
	})
}

// Addrs returns host:port of each node, in the order of [Cluster.Nodes].
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.nodes))
	for i, node := range c.nodes {
		addrs[i] = node.Addr()
	}
	return addrs
}

// Nodes returns the nodes: the primaries in the order of their first slots at the start, and
// then their replicas in the same order.
func (c *Cluster) Nodes() []*Server { return slices.Clone(c.nodes) }

// Node returns the node that serves key's slot, as seen by the first node that is neither
// killed nor paused. The returned node may be down.
func (c *Cluster) Node(key string) *Server {
	c.t.Helper()
	ctx, client := context.Background(), c.witness().client
	slot, err := client.ClusterKeySlot(ctx, key).Result()
	if err != nil {
		c.t.Fatalf("redistest: cluster: %v", err)
	}
	//lint:ignore SA1019 CLUSTER SHARDS, which replaces CLUSTER SLOTS, is not in Redis 6
	ranges, err := client.ClusterSlots(ctx).Result()
	if err != nil {
		c.t.Fatalf("redistest: cluster: %v", err)
	}
	for _, r := range ranges {
		if r.Start <= int(slot) && int(slot) <= r.End {
			return c.owner(r)
		}
	}
	c.t.Fatalf("redistest: cluster: no node serves slot %d", slot)
	return nil
}

// owner returns the primary of a range of slots.
func (c *Cluster) owner(r goredis.ClusterSlot) *Server {
	c.t.Helper()
	for _, node := range c.nodes {
		if len(r.Nodes) > 0 && r.Nodes[0].Addr == node.Addr() {
			return node
		}
	}
	c.t.Fatalf("redistest: cluster: the primary of slots %d to %d is not of this cluster", r.Start, r.End)
	return nil
}

// witness returns the first node that is not killed or paused.
func (c *Cluster) witness() *Server {
	c.t.Helper()
	i := slices.IndexFunc(c.nodes, (*Server).answers)
	if i < 0 {
		c.t.Fatal("redistest: cluster: every node is killed or paused")
	}
	return c.nodes[i]
}

// Commands returns the sum of [Server.Commands] over the nodes that are neither killed nor
// paused.
func (c *Cluster) Commands() map[string]int64 {
	c.t.Helper()
	sum := make(map[string]int64)
	for _, node := range c.nodes {
		if !node.answers() {
			continue
		}
		for name, calls := range node.Commands() {
			sum[name] += calls
		}
	}
	return sum
}

// ResetCommands calls [Server.ResetCommands] on each node that is neither killed nor
// paused.
func (c *Cluster) ResetCommands() {
	c.t.Helper()
	for _, node := range c.nodes {
		if node.answers() {
			node.ResetCommands()
		}
	}
}
