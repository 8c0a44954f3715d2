package redis_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// lists is a source that is read for many keys at once, whose values have the tag red.
type lists struct {
	mu    sync.Mutex
	calls [][]string
}

func (l *lists) load(_ context.Context, keys []string) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, slices.Clone(keys))
	return redOf(keys), nil
}

func redOf(keys []string) map[string]string {
	found := make(map[string]string)
	for _, key := range keys {
		found[key] = key + "|red"
	}
	return found
}

// want wants c to return the values of keys, and to load those of loaded, in one call.
func (l *lists) want(t *testing.T, ctx context.Context, c *cache.Cache[string, string], keys []string, loaded ...string) {
	t.Helper()
	got, err := c.GetOrLoadMany(ctx, keys, l.load)
	if err != nil || !maps.Equal(got, redOf(keys)) {
		t.Errorf("GetOrLoadMany of %d keys returned %d, %v", len(keys), len(got), err)
	}
	idle(t, c)
	l.mu.Lock()
	defer l.mu.Unlock()
	want := [][]string{loaded}
	if len(loaded) == 0 {
		want = nil
	}
	if !slices.EqualFunc(l.calls, want, slices.Equal) {
		t.Errorf("loads of %q, want %q", l.calls, want)
	}
	l.calls = nil
}

func someKeys(of string, n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint(of, i))
	}
	return keys
}

// kinds returns how many round trips there were of each kind, by their first command.
func kinds(trips []string) map[string]int {
	n := make(map[string]int)
	for _, trip := range trips {
		name, _, _ := strings.Cut(normal(trip), " ")
		n[strings.Replace(name, "eval", "evalsha", max(0, 1-strings.Count(name, "sha")))]++
	}
	return n
}

// Any number of keys costs one round trip to each node for the reads, one for the leases, and
// one that nobody waits for.
func TestRoundTripsOfManyKeys(t *testing.T) {
	server, cluster := redistest.Start(t), redistest.StartCluster(t, 3)
	for name, with := range map[string]struct {
		client goredis.UniversalClient
		nodes  int
	}{
		"one server": {goredis.NewClient(&goredis.Options{Addr: server.Addr()}), 1},
		"a Cluster":  {goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()}), 3},
	} {
		t.Run(name, func(t *testing.T) {
			defer with.client.Close()
			for i, o := range []cache.Options[string, string]{{}, {RemoteOnly: true}, {Tags: tagsOf}} {
				s := redis.Options{Timeout: patient.Timeout, Prefix: prefix(t) + fmt.Sprint(i), LogTimeout: time.Minute}
				a, b := enterWith(t, with.client, s, o), enterWith(t, with.client, s, o)
				src, keys := &lists{}, someKeys("k", 400)
				src.want(t, t.Context(), a.Cache, keys[:100], keys[:100]...) // now each node has the scripts
				src.want(t, t.Context(), b.Cache, keys[:1])
				gets := with.nodes
				if o.RemoteOnly { // beside the reads of a node without the log the log is looked at
					gets += with.nodes - 1
				}
				n := &trips{calls: make(map[any][]string)}
				with.client.AddHook(n)
				got := kinds(n.of(t, a.Cache, func(ctx context.Context) error {
					src.want(t, ctx, a.Cache, keys[100:], keys[100:]...)
					return nil
				}))
				if want := map[string]int{"get": gets, "evalsha": 2 * with.nodes}; !maps.Equal(got, want) {
					t.Errorf("round trips of misses: %v, want %v", got, want)
				}
				got = kinds(n.of(t, b.Cache, func(ctx context.Context) error {
					src.want(t, ctx, b.Cache, keys[100:])
					return nil
				}))
				if want := map[string]int{"get": gets}; !maps.Equal(got, want) {
					t.Errorf("round trips of hits: %v, want %v", got, want)
				}
			}
		})
	}
}

// Beyond 1,000 keys there is a round trip for each 1,000, and for fewer where values are large.
func TestManyKeysAreReadInParts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	defer client.Close()
	n := &trips{calls: make(map[any][]string)}
	client.AddHook(n)
	o := redis.Options{Timeout: patient.Timeout, LeaseTTL: time.Minute} // no lease lapses before its fill
	a := enterWith(t, client, o, cache.Options[string, string]{})
	b := enterWith(t, client, o, cache.Options[string, string]{})
	src, keys := &lists{}, someKeys("k", 2500)
	src.want(t, t.Context(), a.Cache, keys, keys...)
	got := kinds(n.of(t, b.Cache, func(ctx context.Context) error {
		src.want(t, ctx, b.Cache, keys)
		return nil
	}))
	if got["get"] != 3 {
		t.Errorf("%d round trips for 2,500 keys, want 3", got["get"])
	}
	large := strings.Repeat("x", 200_000)
	keys = someKeys("large", 80)
	load := func(_ context.Context, keys []string) (map[string]string, error) {
		found := make(map[string]string)
		for _, key := range keys {
			found[key] = large
		}
		return found, nil
	}
	if _, err := a.GetOrLoadMany(t.Context(), keys, load); err != nil {
		t.Fatal(err)
	}
	idle(t, a)
	for _, part := range [][]string{keys[:40], keys[40:]} { // the first shows how large the values are
		got = kinds(n.of(t, b.Cache, func(ctx context.Context) error {
			found, err := b.GetMany(ctx, part)
			if len(found) != len(part) {
				t.Errorf("GetMany found %d large values, want %d", len(found), len(part))
			}
			return err
		}))
	}
	if got["get"] != 2 {
		t.Errorf("%d round trips for 8 MB, want 2", got["get"])
	}
}

func TestManyKeysWithoutTheirScripts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), patient, cache.Options[string, string]{})
	src := &lists{}
	for i := range 3 {
		keys := someKeys(fmt.Sprint("k", i), 20)
		src.want(t, t.Context(), a.Cache, keys, keys...)
		if n := server.Client().Exists(t.Context(), recordsOf(t, keys)...).Val(); n != 20 {
			t.Errorf("%d of 20 records are in Redis", n)
		}
		if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func recordsOf(t *testing.T, keys []string) (records []string) {
	for _, key := range keys {
		records = append(records, record(t, key))
	}
	return records
}

// One node of a Cluster is away: what the others have is found, and the rest is loaded, at once.
func TestManyKeysWithAnIllNode(t *testing.T) {
	t.Parallel()
	c := newIllCluster(t, redistest.StartCluster(t, 3, "--cluster-require-full-coverage", "no"), false)
	b := enterWith(t, c.client, redis.Options{Timeout: sendable}, cache.Options[string, string]{})
	then := enterWith(t, c.client, redis.Options{Timeout: sendable}, cache.Options[string, string]{})
	keys := append(slices.Clone(c.kept), c.lost...)
	for _, i := range []*instance{b, then} {
		wantGet(t, i.Cache, keys[0], "v") // the client knows the nodes
	}
	c.ill.Pause()
	for when, b := range map[string]*instance{"first": b, "then": then} {
		var asked []string
		start := time.Now()
		found, err := b.GetOrLoadMany(t.Context(), keys, func(_ context.Context, keys []string) (map[string]string, error) {
			asked = append(asked, keys...)
			return redOf(keys), nil
		})
		within(t, start, 2*sendable+hiccup, when+", a call with keys of a node that hangs")
		if err != nil || len(found) != len(keys) {
			t.Errorf("%s: GetOrLoadMany found %d of %d keys, %v", when, len(found), len(keys), err)
		}
		slices.Sort(asked)
		isLost := func(key string) bool { return slices.Contains(c.lost, key) }
		others := slices.DeleteFunc(slices.Clone(asked), isLost)
		if len(asked)-len(others) != len(c.lost) || len(others) > 0 && calm(t, start, away) {
			t.Errorf("%s: %q were loaded, want those of the node: %q", when, asked, c.lost)
		}
	}
	c.ill.Resume()
}

// Redis hangs: a call with more keys than one round trip has costs one budget.
func TestManyKeysCostAHungRedisOneBudget(t *testing.T) {
	t.Parallel()
	const budget = 2 * time.Second // much longer than the work for the keys takes
	server := redistest.Start(t)
	c := enter(t, server.Addr(), redis.Options{Timeout: budget}, cache.Options[string, string]{})
	src, keys := &lists{}, someKeys("k", 1100)
	follows(t, c.store)
	server.Pause()
	defer server.Resume()
	start := time.Now()
	got, err := c.GetOrLoadMany(t.Context(), keys, src.load)
	within(t, start, budget*7/4, "a call with more keys than one round trip has")
	if err != nil || len(got) != len(keys) || len(src.calls) != 1 {
		t.Errorf("GetOrLoadMany returned %d values, %v, after %d loads", len(got), err, len(src.calls))
	}
}
