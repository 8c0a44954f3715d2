package redis_test

import (
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

func TestRedirections(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 2)
	t.Run("MOVED", func(t *testing.T) { checkMoved(t, cluster) })
	t.Run("ASK", func(t *testing.T) { checkAsk(t, cluster) })
}

// checkMoved reads through a client for one server that was given a node of a
// Cluster.
func checkMoved(t *testing.T, cluster *redistest.Cluster) {
	holder := cluster.Node(stored("k"))
	fill(t, holder, "k")
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			s := suffer(t, store(t, notThis(cluster, holder).Addr(), redis.Options{Timeout: sendable}))
			s.wantLoaded(t, "k", "v")
			if err := checkInvalidate(t, s, holder, "k"); err == nil {
				t.Error("Invalidate: no error, though the key is on another node")
			}
			checkServed(t, s, holder, "k")
			if s.store.Stats().BreakerOpened != 0 {
				t.Error("replies of a server that serves opened the breaker")
			}
		})
	}
}

func notThis(cluster *redistest.Cluster, node *redistest.Server) *redistest.Server {
	for _, other := range cluster.Nodes() {
		if other != node {
			return other
		}
	}
	return nil
}

// migrate begins to move the slot of key, and with it none of its keys.
func migrate(t *testing.T, from, to *redistest.Server, key string) {
	t.Helper()
	slot := from.Client().ClusterKeySlot(t.Context(), stored(key)).Val()
	id := func(s *redistest.Server) string { return s.Client().ClusterMyID(t.Context()).Val() }
	for _, err := range []error{
		to.Client().Do(t.Context(), "cluster", "setslot", slot, "importing", id(from)).Err(),
		from.Client().Do(t.Context(), "cluster", "setslot", slot, "migrating", id(to)).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// held says how many records of key the node that imports its slot holds.
func held(t *testing.T, importer *redistest.Server, key string) int64 {
	t.Helper()
	var exists *goredis.IntCmd
	_, err := importer.Client().Pipelined(t.Context(), func(pipe goredis.Pipeliner) error {
		pipe.Do(t.Context(), "asking")
		exists = pipe.Exists(t.Context(), stored(key))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return exists.Val()
}

func checkAsk(t *testing.T, cluster *redistest.Cluster) {
	key := func(i int) string { return fmt.Sprintf("{%s}%d", t.Name(), i) } // on one slot, all of them
	from := cluster.Node(stored(key(0)))
	to := notThis(cluster, from)
	fill(t, from, key(0))
	fill(t, from, key(1))
	migrate(t, from, to, key(0))

	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()})
	a, b := suffer(t, borrow(t, client, patient)), suffer(t, borrow(t, client, patient))
	t.Run("a key that has not moved", func(t *testing.T) {
		a.wantLoaded(t, key(0), "old")
		if err := a.Invalidate(t.Context(), key(0)); err != nil {
			t.Errorf("Invalidate: %v", err)
		}
		// For a key that it holds the node would answer.
		if err := from.Client().Exists(t.Context(), stored(key(0))).Err(); err == nil || !strings.HasPrefix(err.Error(), "ASK") {
			t.Errorf("EXISTS: %v, want ASK", err)
		}
	})
	t.Run("a key that is filled where the slot goes", func(t *testing.T) {
		a.wantLoaded(t, key(0), "new")
		idle(t, a)
		if held(t, to, key(0)) != 1 {
			t.Error("the node that imports the slot does not hold the value")
		}
		if v, err := b.Get(t.Context(), key(0)); err != nil || v != "new" {
			t.Errorf("Get of another instance = %q, %v; want new", v, err)
		}
		if err := a.Invalidate(t.Context(), key(0)); err != nil || held(t, to, key(0)) != 0 {
			t.Errorf("Invalidate: %v; the importer holds %d records", err, held(t, to, key(0)))
		}
	})
	t.Run("keys of which some have moved", func(t *testing.T) {
		a.wantLoaded(t, key(2), "new")
		if held(t, to, key(2)) != 1 {
			t.Error("the node that imports the slot does not hold the value")
		}
		if err := a.Invalidate(t.Context(), key(1), key(2), key(3)); err != nil {
			t.Errorf("Invalidate: %v", err)
		}
		if _, err := a.Get(t.Context(), key(1)); err != cache.ErrMiss {
			t.Errorf("Get: %v, want a miss", err)
		}
		if held(t, to, key(2)) != 0 {
			t.Error("the importer holds the old record")
		}
	})
	for with, store := range makers {
		t.Run("a client for one server/"+with, func(t *testing.T) {
			s := suffer(t, store(t, from.Addr(), redis.Options{}))
			a.wantLoaded(t, key(4), "old") // on the importer
			s.wantLoaded(t, key(4), "new")
			if s.Invalidate(t.Context(), key(4)) == nil {
				t.Error("Invalidate: no error, though the key is on the importer")
			}
			s.wantLoaded(t, key(4), "newer")
		})
	}
}
