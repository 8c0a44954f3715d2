package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// healed is a bound for what takes 300 ms on a machine that is not busy.
const healed = 3 * time.Second

// illCluster is a Cluster of three primaries that serves while one of them is away, and an
// instance that has values on all of them.
type illCluster struct {
	*redistest.Cluster
	client *goredis.ClusterClient // of the instance
	*instance
	ill         *redistest.Server
	lost, kept  []string // keys on the node that is to be ill, and on others
	invalidated []string // keys on others
}

// newIllCluster chooses as the node to be ill that of the log, or another one.
func newIllCluster(t *testing.T, cluster *redistest.Cluster, ofLog bool) *illCluster {
	t.Helper()
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()})
	t.Cleanup(func() { _ = client.Close() })
	c := &illCluster{Cluster: cluster, client: client}
	c.instance = enterWith(t, client, redis.Options{Timeout: sendable}, cache.Options[string, string]{Tags: tagsOf})
	for _, node := range cluster.Nodes() {
		if isLogs := node == cluster.Node(c.logKey()); isLogs == ofLog && node != cluster.Node(c.tagKey("")) || isLogs && ofLog {
			c.ill = node
		}
	}
	const n = 20
	for i := 0; len(c.lost) < n || len(c.kept) < n || len(c.invalidated) < n; i++ {
		key := fmt.Sprint("k", i)
		keys := &c.lost
		if cluster.Node(record(t, key)) != c.ill {
			keys = &c.kept
			if i%2 == 0 {
				keys = &c.invalidated
			}
		}
		if len(*keys) < n {
			*keys = append(*keys, key)
			wantLoad(t, c.Cache, key, "v")
		}
	}
	for _, key := range append(c.lost, c.kept...) {
		// On a busy machine a load may not have been fenced in time.
		redistest.Eventually(t, soon, "Redis has a value of each key", func() bool {
			if c.state(t, key) == remote.StateValue {
				return c.Stats().Unconfirmed == 0
			}
			_ = c.Set(t.Context(), key, "v")
			return false
		})
	}
	return c
}

// state returns what the Store finds at a key, or StateAbsent after an error.
func (c *illCluster) state(t *testing.T, key string) remote.State {
	t.Helper()
	rec, _ := c.store.Get(t.Context(), "c:0:"+key, false)
	return rec.State
}

// opens reads the lost keys until the breaker of their node is open.
func (c *illCluster) opens(t *testing.T) {
	t.Helper()
	redistest.Eventually(t, soon, "the breaker of the node opens", func() bool {
		var reads sync.WaitGroup
		for _, key := range c.lost {
			reads.Go(func() { _, _ = c.store.Get(t.Context(), "c:0:"+key, false) })
		}
		reads.Wait()
		return c.store.Stats().BreakerOpen
	})
}

// checkReads wants the kept keys to be read from Redis, and the lost keys not to be waited for.
func (c *illCluster) checkReads(t *testing.T) {
	t.Helper()
	refused := c.store.Stats().BreakerRefused
	for i := range c.kept {
		start := time.Now()
		if c.state(t, c.kept[i]) != remote.StateValue && calm(t, start, away) {
			t.Errorf("a key of a node that serves is not read from Redis")
		}
		start = time.Now()
		if _, err := c.store.Get(t.Context(), "c:0:"+c.lost[i], false); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("Get of a key of the node that is ill: %v, want ErrUnavailable", err)
		}
		within(t, start, hiccup, "a read of a key of the node that is ill")
		if v, err := c.GetOrLoad(t.Context(), c.lost[i], yields[string]("v")); v != "v" || err != nil {
			t.Errorf("GetOrLoad of a key of the node that is ill = %q, %v", v, err)
		}
	}
	if n := c.store.Stats().NodesOpen; n != 1 {
		t.Errorf("the breakers of %d nodes are open, want 1", n)
	}
	if n := c.store.Stats().BreakerRefused - refused; n < uint64(len(c.lost)) {
		t.Errorf("%d commands were refused, want at least %d", n, len(c.lost))
	}
}

// isUp waits until a node says that the Cluster is up. A node that was started again says so
// after 2 s.
func (c *illCluster) isUp(t *testing.T, node *redistest.Server) {
	t.Helper()
	redistest.Eventually(t, 30*time.Second, "the node says that the Cluster is up", func() bool {
		info, _ := node.Client().ClusterInfo(t.Context()).Result()
		return strings.Contains(info, "cluster_state:ok")
	})
}

// checkHeals wants the lost keys to be read from Redis soon, and invalidated.
func (c *illCluster) checkHeals(t *testing.T, limit time.Duration) {
	t.Helper()
	start := time.Now()
	redistest.Eventually(t, soon, "the node is asked again", func() bool {
		_, err := c.store.Get(t.Context(), "c:0:"+c.lost[0], false)
		return err == nil
	})
	t.Logf("the node is asked again after %v", time.Since(start))
	within(t, start, limit, "healing")
	redistest.Eventually(t, soon, "all breakers are closed", func() bool {
		s := c.store.Stats()
		return s.NodesOpen == 0 && !s.BreakerOpen && !s.WriteBreakerOpen
	})
	redistest.Eventually(t, soon, "the log is read", func() bool { return c.store.Stats().LogFollowing })
	invalidate(t, c.instance, c.lost...)
	invalidate(t, c.instance, c.kept...)
	redistest.Eventually(t, soon, "nothing is queued", func() bool { return c.Stats().Unconfirmed == 0 })
}

// One node of a Cluster hangs, or is dead: the keys of the others keep their remote tier, and
// invalidations of them succeed.
func TestAnIllNodeOfAClusterCostsTheKeysOfOthersNothing(t *testing.T) {
	for name, do := range map[string]struct{ falls, rises func(*redistest.Server) }{
		"hangs": {(*redistest.Server).Pause, (*redistest.Server).Resume},
		"dead":  {(*redistest.Server).Kill, (*redistest.Server).Restart},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newIllCluster(t, redistest.StartCluster(t, 3, "--cluster-require-full-coverage", "no"), false)
			do.falls(c.ill)
			c.opens(t)
			c.checkReads(t)
			var late []error // on a busy machine
			start := time.Now()
			for _, key := range c.invalidated {
				if err := c.Invalidate(t.Context(), key); err != nil {
					late = append(late, err)
				} else if c.client.Exists(t.Context(), record(t, key)).Val() != 0 {
					t.Error("an invalidated record is left")
				}
			}
			if len(late) > 0 && calm(t, start, away) {
				t.Errorf("Invalidate of keys of other nodes: %v", errors.Join(late...))
			}
			if err := c.Invalidate(t.Context(), c.lost[0]); !errors.Is(err, cache.ErrQueued) {
				t.Errorf("Invalidate of a key of the node that is ill: %v, want ErrQueued", err)
			}
			if n := c.Stats().Unconfirmed; n == 0 || n > 1+len(late) {
				t.Errorf("%d keys are queued, want 1", n)
			}
			do.rises(c.ill)
			c.isUp(t, c.ill)
			c.checkHeals(t, healed)
		})
	}
}

// The node of the log is away: nothing can be announced, so that every invalidation fails, and
// is queued. Reads of the keys of other nodes go on.
func TestAnIllNodeOfTheLogCostsTheReadsOfOthersNothing(t *testing.T) {
	t.Parallel()
	c := newIllCluster(t, redistest.StartCluster(t, 3, "--cluster-require-full-coverage", "no"), true)
	c.ill.Pause()
	c.opens(t)
	c.checkReads(t)
	if err := c.Invalidate(t.Context(), c.invalidated...); !errors.Is(err, cache.ErrQueued) {
		t.Errorf("Invalidate: %v, want ErrQueued", err)
	}
	if n := c.Stats().Unconfirmed; n != len(c.invalidated) {
		t.Errorf("%d keys are queued, want %d", n, len(c.invalidated))
	}
	c.ill.Resume()
	c.checkHeals(t, healed)
}

// Of an Invalidate of keys on several nodes, one of which is ill, only the keys of that node
// are queued.
func TestAnInvalidateOfManyKeysFailsForThoseOfAnIllNode(t *testing.T) {
	t.Parallel()
	c := newIllCluster(t, redistest.StartCluster(t, 3, "--cluster-require-full-coverage", "no"), false)
	b := enterWith(t, c.client, redis.Options{Timeout: sendable}, cache.Options[string, string]{Tags: tagsOf})
	for _, key := range c.kept {
		wantGet(t, b.Cache, key, "v")
	}
	c.ill.Pause()
	c.opens(t)
	start := time.Now()
	err := c.Invalidate(t.Context(), append(c.lost, c.kept...)...)
	most := len(c.lost)
	if !calm(t, start, away) { // those of other nodes may be late, too
		most += len(c.kept)
	}
	partial, is := errors.AsType[*remote.PartialError](err)
	if !is || len(partial.Failed) < len(c.lost) || len(partial.Failed) > most || !errors.Is(err, cache.ErrQueued) {
		t.Errorf("Invalidate: %v, want a PartialError of %d keys, and ErrQueued", err, len(c.lost))
	}
	if n := c.Stats().Unconfirmed; n < len(c.lost) || n > most {
		t.Errorf("%d keys are queued, want %d", n, len(c.lost))
	}
	for _, key := range c.kept {
		missesSoon(t, b, key)
		misses(t, c.instance, key)
	}
	c.ill.Resume()
	c.checkHeals(t, healed)
}

// A replica takes over from a node that is dead or hangs: its keys are served by the replica,
// and the circuit of the old node is forgotten.
func TestAReplicaThatTakesOverServesTheKeysOfAnIllNode(t *testing.T) {
	for name, falls := range map[string]func(*redistest.Server){
		"hangs": (*redistest.Server).Pause,
		"dead":  (*redistest.Server).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newIllCluster(t, redistest.StartCluster(t, 3), false)
			c.AddReplicas()
			replica := c.Replica(c.ill)
			for _, node := range c.Nodes() { // or they declare the node dead before the takeover
				configure(t, node, "cluster-node-timeout", "60000")
			}
			falls(c.ill)
			c.opens(t)
			c.checkReads(t)
			// Without an election: the vote of busy nodes may take longer than any bound.
			if err := replica.Client().Do(t.Context(), "cluster", "failover", "takeover").Err(); err != nil {
				t.Fatal(err)
			}
			redistest.Eventually(t, soon, "the other nodes know that the replica has taken over", func() bool {
				return c.Node(record(t, c.lost[0])) == replica
			})
			c.isUp(t, replica)
			c.checkHeals(t, soon) // the client may ask the old node first, for 5 s
		})
	}
}
