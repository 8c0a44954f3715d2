package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// exactTTL is a Jitter for tests that compute with TTLs.
const exactTTL = 1e-9

// join adds an instance to the fleet on server: a Store and a cache of its own.
func join(t *testing.T, server *redistest.Server, s redis.Options, o cache.Options[string, string]) *cache.Cache[string, string] {
	t.Helper()
	if s.Timeout == 0 {
		s.Timeout = patient.Timeout
	}
	if s.Prefix == "" {
		s.Prefix = prefix(t)
	}
	store := open(t, server.URL(), s)
	c := cacheOn(t, store, o)
	follows(t, store)
	return c
}

// followed waits until the caches hear from each other.
func followed(t *testing.T, caches ...*cache.Cache[string, string]) {
	t.Helper()
	redistest.Eventually(t, soon, "the caches hear from each other", func() bool {
		return !slices.ContainsFunc(caches, func(c *cache.Cache[string, string]) bool { return !c.Stats().LogFollowed })
	})
}

// follows waits until store reads the log: before, what its caches keep is dropped when
// it begins to. It also waits until store has tested its server, whose commands are counted.
func follows(t *testing.T, store *redis.Store) {
	t.Helper()
	redistest.Eventually(t, soon, "the log is being read", func() bool { return store.Stats().LogFollowing })
	selfTested(t, store)
}

// selfTested waits until the self-test of store is over.
func selfTested(t *testing.T, store *redis.Store) {
	t.Helper()
	redistest.Eventually(t, soon, "the self-test is over", func() bool { return redis.SelfTested(store) })
}

// cacheOn makes a cache over a Store. What o leaves out is not what the test is about.
func cacheOn[K comparable, V any](t *testing.T, store *redis.Store, o cache.Options[K, V]) *cache.Cache[K, V] {
	t.Helper()
	if o.Name == "" {
		o.Name = "c"
	}
	if o.TTL == 0 {
		o.TTL = time.Hour
	}
	if o.Jitter == 0 {
		o.Jitter = exactTTL
	}
	o.Remote = store
	c, err := cache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// record names the record of a key of join's caches.
func record(t *testing.T, key string) string { return prefix(t) + ":c:0:" + key }

// yields is a loader that returns value.
func yields[K comparable, V any](value V) func(context.Context, K) (V, error) {
	return func(context.Context, K) (V, error) { return value, nil }
}

// wantGet wants a tier to have key.
func wantGet[K comparable, V comparable](t *testing.T, c *cache.Cache[K, V], key K, want V) {
	t.Helper()
	if v, err := c.Get(t.Context(), key); err != nil || v != want {
		t.Errorf("Get(%.40q) = %v, %v; want %v", fmt.Sprint(key), v, err, want)
	}
}

// wantMiss wants neither tier to have key.
func wantMiss[K comparable, V any](t *testing.T, c *cache.Cache[K, V], key K) {
	t.Helper()
	if v, err := c.Get(t.Context(), key); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("Get(%.40q) = %v, %v; want a miss", fmt.Sprint(key), v, err)
	}
}

// wantLoad wants key to be loaded, and fills it with value. It returns when the fill is
// over, so that other instances read what it left in Redis.
func wantLoad[K comparable, V comparable](t *testing.T, c *cache.Cache[K, V], key K, value V) {
	t.Helper()
	loads := 0
	v, err := c.GetOrLoad(t.Context(), key, func(context.Context, K) (V, error) {
		loads++
		return value, nil
	})
	if err != nil || v != value || loads != 1 {
		t.Errorf("GetOrLoad(%.40q) = %v, %v after %d loads; want %v after 1", fmt.Sprint(key), v, err, loads, value)
	}
	idle(t, c)
}

// blocked is a load that goes on until it is let go.
type blocked struct {
	runs    atomic.Int32
	started chan struct{} // gets an element for each run
	let     chan struct{} // closed to let it go
	over    <-chan struct{}
	value   string
	err     error
}

func newBlocked(t *testing.T, value string, err error) *blocked {
	started, let := make(chan struct{}, 1000), make(chan struct{})
	return &blocked{started: started, let: let, over: t.Context().Done(), value: value, err: err}
}

func (b *blocked) load(context.Context, string) (string, error) {
	b.runs.Add(1)
	b.started <- struct{}{}
	select {
	case <-b.let:
	case <-b.over:
	}
	return b.value, b.err
}

// call is a GetOrLoad of "k" that runs beside the test.
type call struct {
	value string
	err   error
	took  time.Duration
	cache *cache.Cache[string, string]
}

func start(t *testing.T, c *cache.Cache[string, string], load func(context.Context, string) (string, error)) <-chan call {
	done := make(chan call, 1)
	go func() {
		begin := time.Now()
		v, err := c.GetOrLoad(t.Context(), "k", load)
		done <- call{v, err, time.Since(begin), c}
	}()
	return done
}

// wantCall waits for a call, and for what runs in the background of it.
func wantCall(t *testing.T, done <-chan call, want string) call {
	t.Helper()
	got := <-done
	if got.err != nil || got.value != want {
		t.Errorf("GetOrLoad = %q, %v; want %q", got.value, got.err, want)
	}
	idle(t, got.cache)
	return got
}

func waitsFor(t *testing.T, c *cache.Cache[string, string]) {
	t.Helper()
	redistest.Eventually(t, soon, "the instance waits for another's load", func() bool {
		return c.Stats().LeaseWaits > 0
	})
}

// exercise has two instances on client, and a third that comes later, agree
// about many keys, and wants client to be left open. The prefix is new to it.
func exercise(t *testing.T, client goredis.UniversalClient, prefix string) {
	t.Helper()
	var stores []*redis.Store
	instance := func() *cache.Cache[int, string] {
		s, err := redis.New(client, redis.Options{
			Timeout: patient.Timeout, LeaseTTL: time.Minute, Prefix: prefix,
			Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		stores = append(stores, s)
		c := cacheOn(t, s, cache.Options[int, string]{})
		follows(t, s)
		return c
	}
	a, b := instance(), instance()
	keys := make([]int, 100)
	for i := range keys {
		keys[i] = i
		wantLoad(t, a, i, "loaded")
		wantGet(t, b, i, "loaded")
	}
	if err := b.Invalidate(t.Context(), keys...); err != nil {
		t.Error("Invalidate:", err)
	}
	late := instance()
	for i := range keys {
		wantMiss(t, late, i)
		if err := b.Set(t.Context(), i, fmt.Sprint("set ", i)); err != nil {
			t.Error("Set:", err)
		}
		wantGet(t, late, i, fmt.Sprint("set ", i))
	}
	for _, s := range stores {
		_ = s.Close()
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Error("PING after the Stores were closed:", err)
	}
}

func TestBorrowedClientOfDefaults(t *testing.T) {
	t.Parallel()
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Start(t).Addr()})
	defer client.Close()
	exercise(t, client, prefix(t))
}

func TestBorrowedClusterClient(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()})
	defer client.Close()
	exercise(t, client, prefix(t))
	for _, node := range cluster.Nodes() {
		if got := node.Commands(); got["get"] == 0 || got["unlink"] == 0 {
			t.Errorf("a node got no part of the work: %v", got)
		}
	}
}

func TestBorrowedFailoverClient(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	sentinel := redistest.StartSentinel(t, primary)
	client := goredis.NewFailoverClient(&goredis.FailoverOptions{
		MasterName: sentinel.MasterName(), SentinelAddrs: []string{sentinel.Addr()},
	})
	defer client.Close()
	exercise(t, client, prefix(t))

	s, err := redis.New(client, redis.Options{Timeout: patient.Timeout, Prefix: prefix(t) + ".survivor"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	survivor := cacheOn(t, s, cache.Options[int, string]{})
	follows(t, s)
	wantLoad(t, survivor, 1, "before")
	if promoted := sentinel.Failover(); promoted != replica.Addr() {
		t.Fatalf("promoted %s, not the replica %s", promoted, replica.Addr())
	}
	// A Set that failed, or that the old primary has taken and lost, is invalidated a moment later,
	// which may remove the value of the next one.
	redistest.Eventually(t, 20*time.Second, "a Set arrives at the promoted server", func() bool {
		set := survivor.Set(t.Context(), 2, "after")
		n, err := replica.Client().Exists(t.Context(), prefix(t)+".survivor:c:0:2").Result()
		v, missed := survivor.Get(t.Context(), 2)
		return set == nil && err == nil && n == 1 && v == "after" && missed == nil
	})
	exercise(t, client, prefix(t)+".after")
}
