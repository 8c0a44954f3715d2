package redis_test

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// TestAllocations bounds what each operation allocates, with all that it causes in the
// background, so that a change which makes one dearer is seen. The bounds are about a tenth
// above what was measured.
func TestAllocations(t *testing.T) {
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3)
	for name, o := range map[string]cache.Options[string, string]{
		"default":         {Local: local.Options{MaxEntries: 1}}, // each hit of another key is one of Redis
		"Local.TTL 200ms": {Local: local.Options{MaxEntries: 1, TTL: sometimes}},
		"Local.TTL 1ns":   {Local: local.Options{TTL: 1}},
		"RemoteOnly":      {RemoteOnly: true},
	} {
		for _, tags := range []bool{false, true} {
			o := o
			if tags {
				o.Tags = tagsOf
			}
			run := func(client string, extra float64, newStore func(*testing.T, redis.Options) *redis.Store) {
				t.Run(fmt.Sprintf("%s, tags %v, %s", name, tags, client), func(t *testing.T) {
					s := redis.Options{Timeout: patient.Timeout, Prefix: prefix(t)}
					allocations(t, o, newStore(t, s), extra)
				})
			}
			run("Open", 0, func(t *testing.T, s redis.Options) *redis.Store { return open(t, redistest.Start(t).URL(), s) })
			// A client that is handed in costs a goroutine for each command.
			run("New", 8, func(t *testing.T, s redis.Options) *redis.Store {
				return borrow(t, goredis.NewClient(&goredis.Options{Addr: redistest.Start(t).Addr()}), s)
			})
			if o.Local.TTL > 0 {
				continue // the way to a node is the same
			}
			run("Cluster", 40, func(t *testing.T, s redis.Options) *redis.Store {
				return borrow(t, goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()}), s)
			})
		}
	}
}

// allocations bounds those on a Store, with so many more for each command.
func allocations(t *testing.T, o cache.Options[string, string], store *redis.Store, extra float64) {
	c := cacheOn(t, store, o)
	follows(t, store)
	const batch, attempts = 100, 8
	next := 0
	names := func(kind string, n int) (keys []string) {
		for range n {
			next++
			keys = append(keys, kind+strconv.Itoa(next))
		}
		return keys
	}
	many := func(ctx context.Context, keys []string) (map[string]string, error) {
		values := make(map[string]string, len(keys))
		for _, key := range keys {
			values[key] = "v|red"
		}
		return values, nil
	}
	look := 0.0 // a copy that is not trusted costs a look at the log
	if o.RemoteOnly || o.Local.TTL == 1 {
		look = 10
	}
	there := names("there", 2*batch)
	if _, err := c.GetOrLoadMany(t.Context(), there, many); err != nil {
		t.Fatal(err)
	}
	idle(t, c)
	for _, op := range []struct {
		what string
		keys int // of a run
		most float64
		run  func() error
	}{
		{"hit", 1, 60 + look + extra, func() error {
			next++
			_, err := c.GetOrLoad(t.Context(), there[next%len(there)], yields[string]("v|red"))
			return err
		}},
		{"miss", 1, 160 + 2*look + 3*extra, func() error {
			_, err := c.GetOrLoad(t.Context(), names("cold", 1)[0], yields[string]("v|red"))
			return err
		}},
		{"invalidation", 1, 140 + extra, func() error { return c.Invalidate(t.Context(), names("cold", 1)...) }},
		{"hit of many", batch, 29, func() error {
			next++
			from := batch * (next % 2)
			_, err := c.GetOrLoadMany(t.Context(), there[from:from+batch], many)
			return err
		}},
		{"miss of many", batch, 110, func() error {
			_, err := c.GetOrLoadMany(t.Context(), names("cold", batch), many)
			return err
		}},
		{"invalidation of many", batch, 18, func() error { return c.Invalidate(t.Context(), names("cold", batch)...) }},
	} {
		// On a slow machine more of the log's reader falls into the time of a measurement.
		least := math.Inf(1)
		for range attempts {
			got := testing.AllocsPerRun(max(4, 20/op.keys), func() {
				if err := op.run(); err != nil {
					t.Errorf("%s: %v", op.what, err)
				}
			})
			idle(t, c)
			if least = min(least, got/float64(op.keys)); least <= op.most {
				break
			}
		}
		t.Logf("%s: %.1f allocations of a key", op.what, least)
		if least > op.most {
			t.Errorf("%s: %.1f allocations of a key, want at most %.0f", op.what, least, op.most)
		}
	}
}
