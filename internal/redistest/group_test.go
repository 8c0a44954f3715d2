package redistest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/internal/redistest"
)

func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	a := redistest.Start(t)
	b := redistest.StartReplica(t, a)
	sentinel := redistest.StartSentinel(t, a)
	c := failoverClient(t, sentinel)
	mustSet(t, c, "k", "v")
	if got := sentinel.Primary(); got != a.Addr() {
		t.Fatalf("Primary() = %s, want %s", got, a.Addr())
	}
	if got := sentinel.Failover(); got != b.Addr() || got != sentinel.Primary() {
		t.Fatalf("Failover() = %s, want %s; Primary() = %s", got, b.Addr(), sentinel.Primary())
	}
	mustSet(t, b.Client(), "k", "w") // a replica would refuse
	redistest.Eventually(t, soon, "the client follows", func() bool { return c.Get(t.Context(), "k").Val() == "w" })
}

func failoverClient(t *testing.T, s *redistest.Sentinel) *goredis.Client {
	t.Helper()
	c := goredis.NewFailoverClient(&goredis.FailoverOptions{
		MasterName: s.MasterName(), SentinelAddrs: []string{s.Addr()},
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestSentinelReplacesDeadPrimary(t *testing.T) {
	t.Parallel()
	a := redistest.Start(t)
	b := redistest.StartReplica(t, a)
	sentinel := redistest.StartSentinel(t, a)
	a.Kill()
	redistest.Eventually(t, 3*soon, "the replica is promoted", func() bool { return sentinel.Primary() == b.Addr() })
	redistest.Eventually(t, soon, "it takes writes", func() bool {
		return b.Client().Set(t.Context(), "k", "v", 0).Err() == nil
	})
}

func TestClusterServesAllSlots(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	cluster := redistest.StartCluster(t, 3, "--maxmemory", "20mb")
	t.Logf("ready after %v", time.Since(begin))
	c := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()})
	t.Cleanup(func() { _ = c.Close() })
	mustSet(t, c, "first", "opens the connections")
	cluster.ResetCommands()
	owners := make(map[string]int)
	for i := range 300 {
		key := fmt.Sprint("k", i)
		mustSet(t, c, key, "v")
		node := cluster.Node(key)
		wantValue(t, node.Client(), key, "v") // not MOVED
		owners[node.Addr()]++
	}
	wantCalls(t, cluster.Commands(), "set", 300)
	for _, addr := range cluster.Addrs() {
		if owners[addr] < 50 {
			t.Errorf("%s has %d of 300 keys", addr, owners[addr])
		}
	}
}

func TestClusterOfOne(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 1)
	if got, want := cluster.Node("k"), cluster.Nodes()[0]; got != want {
		t.Errorf("Node(k) = %s, want %s", got.Addr(), want.Addr())
	}
	mustSet(t, cluster.Nodes()[0].Client(), "k", "v")
}

func TestClusterNodeComesBack(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	node := cluster.Nodes()[0]
	key := keyOn(t, cluster, node)
	node.Kill()
	if got := cluster.Node(key); got != node {
		t.Errorf("Node(%s) = %s while %s is down", key, got.Addr(), node.Addr())
	}
	cluster.ResetCommands()
	wantCalls(t, cluster.Commands(), "config|resetstat", 2)
	node.Restart()
	redistest.Eventually(t, 2*soon, "the node serves its slots again", func() bool {
		return node.Client().Set(t.Context(), key, "v", 0).Err() == nil
	})
}

// A loading node says so for the keys of any node's slots that it was asked for, without a redirection.
func TestClusterNodeLoads(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	node := cluster.Nodes()[1]
	key := keyOn(t, cluster, node)
	end := node.Load(t, 10_000)
	if err := node.Client().Get(t.Context(), key).Err(); err == nil || !goredis.IsLoadingError(err) {
		t.Errorf("GET of a loading node: %v", err)
	}
	end()
	redistest.Eventually(t, 2*soon, "the node serves its slots again", func() bool {
		return node.Client().Set(t.Context(), key, "v", 0).Err() == nil
	})
}

// keyOn returns a key whose slot the node serves.
func keyOn(t *testing.T, cluster *redistest.Cluster, node *redistest.Server) string {
	t.Helper()
	if !slices.Contains(cluster.Nodes(), node) {
		t.Fatal("the node is not of this cluster")
	}
	for i := 0; ; i++ {
		if key := fmt.Sprint("k", i); cluster.Node(key) == node {
			return key
		}
	}
}
