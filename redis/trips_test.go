package redis_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// trips notes the round trips that are made for one call, those in the background
// included: by the context, whose values a call hands on to all that it causes.
type trips struct {
	mu    sync.Mutex // guards all below
	calls map[any][]string
}

type callKey struct{}

// seen notes a round trip with these commands. A script counts by what it does first, a
// write of the log by its name.
func (n *trips) seen(ctx context.Context, cmds ...goredis.Cmder) {
	call := ctx.Value(callKey{})
	if name := cmds[0].Name(); call == nil || name == "hello" || name == "client" { // of a new connection
		return
	}
	var names []string
	for _, cmd := range cmds {
		names = append(names, cmd.Name())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls[call] = append(n.calls[call], strings.Join(names, " "))
}

func (n *trips) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (n *trips) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		n.seen(ctx, cmd)
		return next(ctx, cmd)
	}
}

func (n *trips) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		n.seen(ctx, cmds...)
		return next(ctx, cmds)
	}
}

// of returns the round trips of one call, once nothing of it goes on.
func (n *trips) of(t *testing.T, c *cache.Cache[string, string], call func(context.Context) error) []string {
	t.Helper()
	id := new(int)
	if err := call(context.WithValue(t.Context(), callKey{}, id)); err != nil {
		t.Error(err)
	}
	idle(t, c)
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls[id]
}

// TestRoundTrips holds the round trips and the commands of every operation, whatever the
// options, the client, and the state of the log. A caller waits for one at a hit, for two
// at a miss; the third one, the fill, goes on behind it.
func TestRoundTrips(t *testing.T) {
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3)
	clients := map[string]func(*testing.T, redis.Options) (store, other *redis.Store){
		"owned": func(t *testing.T, s redis.Options) (store, other *redis.Store) {
			server := redistest.Start(t)
			return open(t, server.URL(), s), open(t, server.URL(), s)
		},
		"borrowed": func(t *testing.T, s redis.Options) (store, other *redis.Store) {
			server := redistest.Start(t)
			return borrow(t, goredis.NewClient(&goredis.Options{Addr: server.Addr()}), s), open(t, server.URL(), s)
		},
		inCluster: func(t *testing.T, s redis.Options) (store, other *redis.Store) {
			client := func() *goredis.ClusterClient {
				return goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()})
			}
			return borrow(t, client(), s), borrow(t, client(), s)
		},
	}
	for name, o := range map[string]cache.Options[string, string]{
		"default":         {},
		"Local.TTL 200ms": {Local: local.Options{TTL: sometimes}},
		"Local.TTL 1ns":   {Local: local.Options{TTL: 1}},
		"RemoteOnly":      {RemoteOnly: true},
	} {
		for _, tags := range []bool{false, true} {
			for client, dial := range clients {
				if client == inCluster && name != "default" {
					continue // the log is another node's, so looks at it come beside each round trip, or do not
				}
				for _, busy := range []bool{false, true} {
					o := o
					if tags {
						o.Tags = tagsOf
					}
					t.Run(fmt.Sprintf("%s, tags %v, %s, busy %v", name, tags, client, busy), func(t *testing.T) {
						t.Parallel()
						roundTrips(t, o, dial, client == inCluster, busy)
					})
				}
			}
		}
	}
}

func roundTrips(t *testing.T, o cache.Options[string, string], dial func(*testing.T, redis.Options) (store, other *redis.Store), cluster, busy bool) {
	// The log is silent, unless it is busy.
	store, otherStore := dial(t, redis.Options{Timeout: patient.Timeout, Prefix: prefix(t), LogTimeout: time.Minute})
	other := cacheOn(t, otherStore, o)
	n := &trips{calls: make(map[any][]string)}
	redis.ClientOf(store).AddHook(n)
	seen := &marks{}
	followIn(t, store, "marks", seen)
	c := cacheOn(t, store, o)
	follows(t, store)
	get := func(key string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.GetOrLoad(ctx, key, yields[string]("v|red"))
			return err
		}
	}
	// The first fill records the positions of the cache and of the tag; the first hit
	// learns of them.
	n.of(t, c, get("first"))
	if err := other.Invalidate(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	fillOn(t, other, "first", "k", "l", "m", "n", "{o} 1", "{o} 2")
	n.of(t, c, get("first"))
	many := func(keys ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.GetOrLoadMany(ctx, keys, func(context.Context, []string) (map[string]string, error) {
				return map[string]string{keys[0]: "v|red", keys[1]: "v|red"}, nil
			})
			return err
		}
	}
	invalidate := func(keys ...string) func(context.Context) error {
		return func(ctx context.Context) error { return c.Invalidate(ctx, keys...) }
	}
	always := o.RemoteOnly || o.Local.TTL == 1
	expected := []string{"get pttl", "evalsha"} // the lease is taken with the read
	if o.RemoteOnly {
		expected = []string{"get pttl", "evalsha", "evalsha"}
	}
	for _, step := range []struct {
		what string
		call func(context.Context) error
		want []string // the commands of each round trip
	}{
		{"hit", get("k"), []string{"get pttl"}},
		{"another hit", get("l"), []string{"get pttl"}},
		{"Get", func(ctx context.Context) error { _, err := c.Get(ctx, "m"); return err }, []string{"get pttl"}},
		{"miss", get("absent"), []string{"get pttl", "evalsha", "evalsha"}},
		{"second miss in a row", get("absent 2"), []string{"get pttl", "evalsha", "evalsha"}},
		{"third", get("absent 3"), []string{"get pttl", "evalsha", "evalsha"}},
		{"fourth", get("absent 4"), []string{"get pttl", "evalsha", "evalsha"}},
		{"expected miss", get("absent 5"), expected},
		{"unexpected hit", get("n"), []string{"get pttl"}},
		{"misses of many", many("{absent} 6", "{absent} 7"), []string{"get pttl", "evalsha evalsha", "evalsha evalsha"}},
		{"hits of many", many("{o} 1", "{o} 2"), []string{"get pttl"}},
		{"Invalidate", invalidate("k"), []string{"evalsha xadd set"}},
		{"Invalidate of two", invalidate("k", "l"), []string{"evalsha evalsha xadd set"}},
		{"miss after it", get("k"), []string{"get pttl", "evalsha", "evalsha"}},
		{"Set", func(ctx context.Context) error { return c.Set(ctx, "k", "v|red") }, []string{"evalsha", "evalsha", "xadd set"}},
		{"Mutate", func(ctx context.Context) error {
			return c.Mutate(ctx, []string{"k"}, func(context.Context) error { return nil })
		}, []string{"evalsha xadd set", "evalsha xadd set"}},
	} {
		if want := apart[step.what]; cluster && want != nil {
			step.want = want
		}
		if busy {
			tellOf(t, otherStore, seen)
		}
		got := n.of(t, c, step.call)
		for i, trip := range got {
			got[i] = normal(trip)
			looks := strings.HasPrefix(strings.Replace(trip, " time set", "", 1), "get pttl get")
			if strings.HasPrefix(trip, "get pttl") && !strings.Contains(step.what, "of many") && o.Local.TTL != sometimes && looks != always {
				t.Errorf("%s: %q, want a look at the log: %v", step.what, trip, always)
			}
		}
		got = slices.DeleteFunc(got, func(trip string) bool { return trip == "eval" }) // after NOSCRIPT
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: round trips %q, want %q", step.what, got, step.want)
		}
	}
}

// inCluster is the client of a Cluster, whose log is on another node than most keys.
const inCluster = "a Cluster"

// apart are the round trips of a Cluster that are one on a single server: an entry of the log
// goes to another node, and a lease is not asked for with the read.
var apart = map[string][]string{
	"expected miss":     {"get pttl", "evalsha", "evalsha"},
	"Invalidate":        {"evalsha", "xadd set"},
	"Invalidate of two": {"evalsha", "evalsha", "xadd set"},
	"Mutate":            {"evalsha", "xadd set", "evalsha", "xadd set"},
}

// sometimes is a Local.TTL in which the log is heard of, or is not.
const sometimes = 200 * time.Millisecond

// normal is a round trip without what depends on the state of Redis and of the log: whether
// a script is known, and how much of the log has to be looked at.
func normal(trip string) string {
	if strings.HasPrefix(trip, "get pttl") {
		return "get pttl"
	}
	return strings.TrimSuffix(strings.ReplaceAll(trip, "eval ", "evalsha "), " pexpire")
}

// fillOn loads keys on another instance.
func fillOn(t *testing.T, c *cache.Cache[string, string], keys ...string) {
	t.Helper()
	for _, key := range keys {
		if _, err := c.GetOrLoad(t.Context(), key, yields[string]("v|red")); err != nil {
			t.Fatal(err)
		}
	}
	idle(t, c)
}

// tellOf invalidates a key of another cache on other's Store, and returns when that was
// told.
func tellOf(t *testing.T, other *redis.Store, seen *marks) {
	t.Helper()
	name := "marks:0:" + rand.Text()
	if err := other.Invalidate(t.Context(), []string{name}, 0); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, soon, "the entry is told", func() bool {
		last := seen.last.Load()
		return last != nil && *last == name
	})
}
