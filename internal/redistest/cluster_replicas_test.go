package redistest_test

import (
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
)

func TestClusterReplicaTakesOver(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	cluster.AddReplicas()
	primary := cluster.Nodes()[1]
	key := keyOn(t, cluster, primary)
	mustSet(t, primary.Client(), key, "v")
	primary.Kill()
	cluster.AwaitFailover(primary)
	replica := cluster.Replica(primary)
	redistest.Eventually(t, soon, "the cluster has another owner", func() bool { return cluster.Node(key) == replica })
	mustSet(t, replica.Client(), key, "w")
}

func TestClusterFailsOverByHand(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	cluster.AddReplicas()
	primary := cluster.Nodes()[0]
	key := keyOn(t, cluster, primary)
	cluster.Failover(primary)
	replica := cluster.Replica(primary)
	redistest.Eventually(t, soon, "the cluster has another owner", func() bool { return cluster.Node(key) == replica })
	cluster.MoveSlot(key, cluster.Nodes()[2])
	if got := cluster.Node(key); got != cluster.Nodes()[2] {
		t.Errorf("Node(%s) = %s after the move, want %s", key, got.Addr(), cluster.Nodes()[2].Addr())
	}
}

func TestSentinelsKnowEachOther(t *testing.T) {
	t.Parallel()
	a := redistest.Start(t)
	b := redistest.StartReplica(t, a)
	sentinels := redistest.StartSentinels(t, a, 3, time.Minute)
	if got := sentinels[1].Failover(); got != b.Addr() {
		t.Fatalf("Failover() = %s, want %s", got, b.Addr())
	}
	for _, s := range sentinels {
		redistest.Eventually(t, soon, "each Sentinel names the new primary", func() bool { return s.Primary() == b.Addr() })
	}
}
