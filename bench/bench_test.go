package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// user is what is cached.
type user struct {
	ID      int64
	Name    string
	Email   string
	Age     int
	Created time.Time
}

var sample = user{ID: 7, Name: "Ada Lovelace", Email: "ada@example.org", Age: 36, Created: time.Unix(1e9, 0).UTC()}

const keyCount = 1024 // a power of two

func keys() []string {
	keys := make([]string, keyCount)
	for i := range keys {
		keys[i] = "user:" + strconv.Itoa(i)
	}
	return keys
}

func load(context.Context, string) (user, error) { return sample, nil }

func must(b testing.TB, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// orders are the orders in which keys are read, as indices of keys.
func orders() map[string][]int {
	const length = 1 << 16
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.01, 1, keyCount-1)
	turns, random, skewed := make([]int, length), make([]int, length), make([]int, length)
	for i := range length {
		turns[i], random[i], skewed[i] = i&(keyCount-1), rand.IntN(keyCount), int(zipf.Uint64())
	}
	return map[string][]int{"": turns, "uniform/": random, "zipf/": skewed, "one-key/": make([]int, length)}
}

// BenchmarkLocalHit compares GetOrLoad on a key in the local tier, of a cache
// with a Redis behind it, with Get on a golang-lru.
func BenchmarkLocalHit(b *testing.B) {
	ctx, ks := context.Background(), keys()
	c, _ := twoTiers(b, cache.Options[string, user]{})
	bare, err := lru.New[string, user](local.DefaultMaxEntries)
	must(b, err)
	for _, k := range ks {
		_, err := c.GetOrLoad(ctx, k, load)
		must(b, err)
		bare.Add(k, sample)
	}
	for name, order := range orders() {
		for _, goroutines := range []int{1, 8 * runtime.GOMAXPROCS(0)} {
			b.Run(name+strconv.Itoa(goroutines)+"-goroutines", func(b *testing.B) {
				compare(b, goroutines, func(i int) {
					_, _ = c.GetOrLoad(ctx, ks[order[i&(len(order)-1)]], load)
				}, func(i int) {
					_, _ = bare.Get(ks[order[i&(len(order)-1)]])
				})
			})
		}
	}
}

// BenchmarkRedisHit compares GetOrLoad on a key that only Redis has, with GET on
// go-redis and the same decoding: with the default Local.TTL, of a cache that holds one
// entry, and where no copy is trusted, so that each hit makes sure of the log.
func BenchmarkRedisHit(b *testing.B) {
	for _, o := range []struct {
		name    string
		options cache.Options[string, user]
	}{
		{"default", cache.Options[string, user]{Local: local.Options{MaxEntries: 1}}},
		{"Local.TTL=200ms", cache.Options[string, user]{Local: local.Options{MaxEntries: 1, TTL: 200 * time.Millisecond}}},
		{"Local.TTL=1ns", cache.Options[string, user]{Local: local.Options{TTL: 1}}},
		{"RemoteOnly", cache.Options[string, user]{RemoteOnly: true}},
	} {
		for _, goroutines := range []int{1, 64} {
			b.Run(o.name+"/"+strconv.Itoa(goroutines)+"-goroutines", func(b *testing.B) { remoteHit(b, o.options, goroutines) })
		}
	}
}

func remoteHit(b *testing.B, o cache.Options[string, user], goroutines int) {
	ctx, ks := context.Background(), keys()
	c, client := twoTiers(b, o)
	encoded, err := json.Marshal(sample)
	must(b, err)
	for _, k := range ks {
		_, err := c.GetOrLoad(ctx, k, load)
		must(b, err)
		must(b, client.Set(ctx, k, encoded, time.Hour).Err())
	}
	for c.Stats().Background > 0 {
		runtime.Gosched()
	}
	before := c.Stats()
	compare(b, goroutines, func(i int) {
		_, _ = c.GetOrLoad(ctx, ks[i&(keyCount-1)], load)
	}, func(i int) {
		var u user
		data, err := client.Get(ctx, ks[i&(keyCount-1)]).Bytes()
		if err == nil {
			err = json.Unmarshal(data, &u)
		}
		if err != nil {
			b.Error(err)
		}
	})
	after := c.Stats()
	if loads := after.Loads - before.Loads; loads > 0 {
		b.Fatalf("%d of the hits were misses", loads)
	}
	if local, remote := after.LocalHits-before.LocalHits, after.RemoteHits-before.RemoteHits; b.N > keyCount && local > remote/10 {
		b.Fatalf("%d of the hits were local, and %d were not", local, remote)
	}
}

// BenchmarkMiss compares GetOrLoad on a key that nobody has, with the plain
// cache-aside that it replaces: GET, load, SET. What it costs more pays for the
// lease.
func BenchmarkMiss(b *testing.B) {
	ctx := context.Background()
	c, client := twoTiers(b, cache.Options[string, user]{})
	var fresh atomic.Int64
	key := func() string { return "miss:" + strconv.FormatInt(fresh.Add(1), 10) }
	for _, goroutines := range []int{1, 64} {
		b.Run(strconv.Itoa(goroutines)+"-goroutines", func(b *testing.B) {
			compare(b, goroutines, func(int) {
				_, _ = c.GetOrLoad(ctx, key(), load)
			}, func(int) {
				k := key()
				if err := client.Get(ctx, k).Err(); !errors.Is(err, goredis.Nil) {
					b.Error(err)
				}
				data, _ := json.Marshal(sample)
				if err := client.Set(ctx, k, data, time.Hour).Err(); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// twoTiers returns a cache on a Redis of its own, and a plain client for that.
func twoTiers(b testing.TB, o cache.Options[string, user]) (*cache.Cache[string, user], *goredis.Client) {
	b.Helper()
	server := redistest.Start(b)
	store, err := redis.Open(server.URL(), redis.Options{Timeout: time.Minute})
	must(b, err)
	b.Cleanup(func() { _ = store.Close() })
	o.Name, o.TTL, o.Remote = "users", time.Hour, store
	c, err := cache.New(o)
	must(b, err)
	b.Cleanup(func() { _ = c.Close() })
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	b.Cleanup(func() { _ = client.Close() })
	return c, client
}
