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

// A key of a megabyte is read, filled and invalidated like others, several at once too.
func TestAKeyOfAMegabyte(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	keys := make([]string, 5)
	for i := range keys {
		keys[i] = strings.Repeat(fmt.Sprint(i), 1_000_000)
	}
	wantMiss(t, a.Cache, keys[0])
	for range 2 {
		for _, key := range keys {
			hold(t, key, "old", a, b)
		}
		hold(t, "kept", "kept", a, b)
		invalidate(t, a, keys...)
		upToDate(t, server, b)
		misses(t, b, keys...)
		wantGet(t, b.Cache, "kept", "kept")
		invalidate(t, a, "kept")
		upToDate(t, server, a, b)
	}
	hold(t, keys[0], "old", a, b)
	if err := a.Set(t.Context(), keys[0], "new"); err != nil {
		t.Error("Set:", err)
	}
	upToDate(t, server, b)
	wantGet(t, b.Cache, keys[0], "new")
	for _, i := range []*instance{a, b} {
		i.wantLogGaps(t, "long keys", 0)
	}
}

func TestAnInvalidateOfTenThousandKeys(t *testing.T) {
	t.Parallel()
	server, cluster := redistest.Start(t), redistest.StartCluster(t, 3)
	clients := map[string]goredis.UniversalClient{
		"one server": goredis.NewClient(&goredis.Options{Addr: server.Addr()}),
		"a Cluster":  goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()}),
	}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			defer client.Close()
			a := enterWith(t, client, redis.Options{}, cache.Options[string, string]{})
			b := enterWith(t, client, redis.Options{}, cache.Options[string, string]{})
			keys := make([]string, 10_000)
			for i := range keys {
				keys[i] = fmt.Sprintf("%d of some keys of usual length", i)
			}
			held := []string{keys[0], keys[499], keys[500], keys[5000], keys[9999]}
			for _, key := range held {
				hold(t, key, "old", a, b)
			}
			hold(t, "kept", "kept", a, b)
			invalidate(t, a, keys...)
			upToDateOn(t, client, b)
			misses(t, b, held...)
			wantGet(t, b.Cache, "kept", "kept")
			b.wantLogGaps(t, "many keys", 0)
			if n := b.Stats().InvalidationsReceived; n < uint64(len(keys)) {
				t.Errorf("told of %d keys, want %d", n, len(keys))
			}
		})
	}
}
