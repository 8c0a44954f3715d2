package redis_test

import (
	"fmt"
	"math"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

func TestStoreServesSeveralCaches(t *testing.T) {
	t.Parallel()
	type id struct{ tenant, user int }
	server := redistest.Start(t)
	stores := three(func() *redis.Store { return open(t, server.URL(), patient) })
	fromID := func(k id) string { return fmt.Sprintf("%d/%d", k.tenant, k.user) }
	checkKeys(t, stores, cache.Options[string, string]{Name: "strings"}, cachetest.Keys)
	checkKeys(t, stores, cache.Options[int, string]{Name: "ints"}, []int{math.MinInt, -1, 0, 1, 10, math.MaxInt})
	checkKeys(t, stores, cache.Options[id, string]{Name: "structs", Key: fromID}, []id{{}, {1, 11}, {11, 1}, {-1, 0}})
}

func three(store func() *redis.Store) [3]*redis.Store {
	return [3]*redis.Store{store(), store(), store()}
}

// checkKeys wants each key to have a value of its own, on caches of three Stores, until
// all are invalidated.
func checkKeys[K comparable](t *testing.T, stores [3]*redis.Store, o cache.Options[K, string], keys []K) {
	t.Helper()
	a, b, late := cacheOn(t, stores[0], o), cacheOn(t, stores[1], o), cacheOn(t, stores[2], o)
	for i, k := range keys {
		wantLoad(t, a, k, fmt.Sprint("value ", i))
	}
	for i, k := range keys {
		wantGet(t, b, k, fmt.Sprint("value ", i))
	}
	if err := b.Invalidate(t.Context(), keys...); err != nil {
		t.Error("Invalidate:", err)
	}
	for _, k := range keys {
		wantMiss(t, b, k)
		wantMiss(t, late, k)
	}
}

// Some of the keys have braces, which decide where a Cluster keeps them.
func TestKeysAreAnyBytesOnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	stores := three(func() *redis.Store {
		return borrow(t, goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()}), patient)
	})
	checkKeys(t, stores, cache.Options[string, string]{}, cachetest.Keys)
	for _, node := range cluster.Nodes() {
		if got := node.Commands(); got["get"] == 0 || got["unlink"] == 0 {
			t.Errorf("a node got no part of the work: %v", got)
		}
	}
}

func TestCachesDoNotReadEachOthersEntries(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	keys := []string{"k", "0:k", "1:k", ":k", "b:0:k", "c:b:0:k"}
	// All caches of one round, on Stores of two prefixes.
	caches := func() (all []*cache.Cache[string, string]) {
		for _, p := range []string{"c", "c.b"} {
			for schema := range 2 {
				s := open(t, server.URL(), redis.Options{Timeout: patient.Timeout, Prefix: p})
				for _, name := range []string{"b", "c", "b.0"} {
					all = append(all, cacheOn(t, s, cache.Options[string, string]{Name: name, Schema: schema}))
				}
			}
		}
		return all
	}
	for i, c := range caches() {
		for _, k := range keys {
			wantLoad(t, c, k, fmt.Sprint(i, k))
		}
	}
	for i, c := range caches() {
		for _, k := range keys {
			wantGet(t, c, k, fmt.Sprint(i, k))
		}
	}
}
