package redis_test

import (
	"context"
	"errors"
	"fmt"
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

// onCluster is a fleet on a Cluster of three primaries.
type onCluster struct {
	*redistest.Cluster
	client *goredis.ClusterClient // of the test
	stores *goredis.ClusterClient // of the Stores
	sent   *singleKeys            // by the Stores
}

func newOnCluster(t *testing.T) *onCluster {
	t.Helper()
	cluster := redistest.StartCluster(t, 3)
	client := func() *goredis.ClusterClient {
		client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()})
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	c := &onCluster{cluster, client(), client(), &singleKeys{names: make(map[string]int)}}
	c.stores.AddHook(noted(c.sent.note))
	return c
}

// enter adds an instance.
func (c *onCluster) enter(t *testing.T, s redis.Options, o cache.Options[string, string]) *instance {
	t.Helper()
	o.Tags = tagsOf
	return enterWith(t, c.stores, s, o)
}

// singleKeys notes the commands that a client sends, and which have more keys than one.
type singleKeys struct {
	mu    sync.Mutex // guards all below
	names map[string]int
	odd   []string
}

// noted is a hook of a client that is told of each command before it is sent.
type noted func(...goredis.Cmder)

func (n noted) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (n noted) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		n(cmd)
		return next(ctx, cmd)
	}
}

func (n noted) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		n(cmds...)
		return next(ctx, cmds)
	}
}

func (s *singleKeys) note(cmds ...goredis.Cmder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cmd := range cmds {
		s.names[cmd.Name()]++
		args, single := cmd.Args(), false
		switch cmd.Name() {
		case "get", "pttl", "unlink":
			single = len(args) == 2
		case "eval", "evalsha":
			single = len(args) > 3 && fmt.Sprint(args[2]) == "1"
		case "xadd", "set", "pexpire", "xrange", "xrevrange", "xlen":
			single = true
		}
		if !single {
			s.odd = append(s.odd, fmt.Sprintf("%.80v", args))
		}
	}
}

func TestTheLogOfACluster(t *testing.T) {
	t.Parallel()
	c := newOnCluster(t)
	t.Run("keys of all slots", c.checkKeys)
	t.Run("tags", c.checkTags)
	t.Run("tombstones", c.checkTombstones)
	t.Run("partitions", c.checkPartitions)
	t.Run("scripts", func(t *testing.T) {
		checkScriptsThatAreLost(t, c.client, c.Nodes(), func(holdOff time.Duration) *instance {
			return c.enter(t, redis.Options{}, cache.Options[string, string]{HoldOff: holdOff})
		})
	})
	t.Run("single keys", c.checkSingleKeys)
	t.Run("close", c.checkClose)
	t.Run("the log moves", c.checkMoves)
	t.Run("the log's node dies", c.checkNodeDies) // the last: a node loses what it has
}

func (c *onCluster) checkKeys(t *testing.T) {
	a, b := c.enter(t, redis.Options{}, cache.Options[string, string]{}), c.enter(t, redis.Options{}, cache.Options[string, string]{})
	keys := make([]string, 150)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
		hold(t, keys[i], "old", a, b)
	}
	hold(t, "kept", "kept", a, b)
	idle(t, a, b)
	c.ResetCommands()
	invalidate(t, a, keys...)
	if n := c.Commands()["xadd"]; n != 2 { // of more than 1 KiB, so that a short one follows
		t.Errorf("%d entries, want two", n)
	}
	for _, node := range c.Nodes() {
		if n := node.Commands()["unlink"]; n < 20 {
			t.Errorf("a node got %d of %d UNLINK", n, len(keys))
		}
	}
	upToDateOn(t, c.client, a, b)
	misses(t, b, keys...)
	wantGet(t, b.Cache, "kept", "kept")
	if n := b.Stats().InvalidationsReceived; n != uint64(len(keys)) {
		t.Errorf("told of %d keys, want %d", n, len(keys))
	}
}

func (c *onCluster) checkTags(t *testing.T) {
	enters := func() *instance { return c.enter(t, redis.Options{}, cache.Options[string, string]{}) }
	a, b := enters(), enters()
	load := func(i *instance) {
		for k := range 30 {
			wantLoad(t, i.Cache, fmt.Sprint(k), fmt.Sprint("v|t", k%3, ",all"))
		}
		hasRecordsOn(t, c.client, a, "t0", "t1", "t2", "all")
	}
	wantOnly := func(i *instance, right func(k int) bool) {
		t.Helper()
		for k := range 30 {
			_, err := i.Get(t.Context(), fmt.Sprint(k))
			if right(k) != (err == nil) || (err != nil && !errors.Is(err, cache.ErrMiss)) {
				t.Errorf("Get(%d): %v, and it is right: %v", k, err, right(k))
			}
		}
	}
	load(a)
	wantOnly(b, func(int) bool { return true })
	invalidateTags(t, a, "t0", "t2")
	upToDateOn(t, c.client, a, b)
	for _, i := range []*instance{a, b, enters()} {
		wantOnly(i, func(k int) bool { return k%3 == 1 })
	}
	invalidateAll(t, b)
	upToDateOn(t, c.client, a, b)
	for _, i := range []*instance{a, b, enters()} {
		wantOnly(i, func(int) bool { return false })
	}
	load(b)
	for _, i := range []*instance{a, enters()} {
		wantOnly(i, func(int) bool { return true })
	}
	// The record of a tag lives on another node than the log: that node may be full alone.
	tag := "0"
	for i := 0; c.Node(a.tagKey(tag)) == c.Node(a.logKey()); i++ {
		tag = fmt.Sprint(i)
	}
	wantLoad(t, a.Cache, "k", "old|"+tag)
	hasRecordsOn(t, c.client, a, tag)
	full := c.Node(a.tagKey(tag))
	maxMemory(t, full, 1)
	if a.InvalidateTags(t.Context(), tag) == nil {
		t.Error("InvalidateTags: no error, though the tag's position cannot be recorded")
	}
	if full.Client().Exists(t.Context(), a.tagKey(tag)).Val() != 0 {
		t.Error("the old record of the tag is there still")
	}
	misses(t, enters(), "k")
	maxMemory(t, full, 0)
}

func (c *onCluster) checkTombstones(t *testing.T) {
	keys := make([]string, 30)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	o := cache.Options[string, string]{HoldOff: holdOff}
	a, b := c.enter(t, redis.Options{}, o), c.enter(t, redis.Options{}, cache.Options[string, string]{})
	<-time.After(holdOff) // a may have missed what was invalidated before it came
	stands := func() (n int) {
		for _, key := range keys {
			if c.client.GetRange(t.Context(), record(t, key), 0, 0).Val() == "T" {
				n++
			}
		}
		return n
	}
	for _, key := range keys {
		hold(t, key, "old", a, b)
	}
	invalidated := time.Now()
	invalidate(t, a, keys...)
	lapsed := func() bool { return time.Since(invalidated) > holdOff } // on a busy machine
	if n := stands(); n != len(keys) && !lapsed() {
		t.Errorf("%d tombstones after Invalidate with HoldOff, want %d", n, len(keys))
	}
	for _, key := range keys {
		missesSoon(t, b, key)
		wantLoad(t, b.Cache, key, "of the replica")
	}
	if n := stands(); n != len(keys) && !lapsed() {
		t.Errorf("%d tombstones after the loads, want %d", n, len(keys))
	}
	err := b.Mutate(t.Context(), keys, func(context.Context) error {
		if n := stands(); n != len(keys) {
			t.Errorf("%d tombstones in a Mutate, want %d", n, len(keys))
		}
		return nil
	})
	if err != nil {
		t.Error("Mutate:", err)
	}
	for _, key := range keys {
		missesSoon(t, b, key)
	}
}

func (c *onCluster) checkPartitions(t *testing.T) {
	s := redis.Options{LogPartitions: 3}
	names := strings.Split("a b c d e f", " ")
	var logs []string
	for i := range 3 {
		logs = append(logs, fmt.Sprint(prefix(t), ":log:", i))
	}
	for _, name := range names {
		a := c.enter(t, s, cache.Options[string, string]{Name: name})
		b := c.enter(t, s, cache.Options[string, string]{Name: name})
		hold(t, "k", "v", a, b)
		invalidate(t, a, "k")
		missesSoon(t, b, "k")
		if s := b.store.Stats(); !s.LogFollowing || s.LogSessions == 0 || s.LogSessions > 2 { // "marks" may have another
			t.Errorf("%s: %d logs are read, want one or two", name, s.LogSessions)
		}
	}
	var nodes []string
	for _, log := range logs {
		if c.client.XLen(t.Context(), log).Val() < 2 {
			t.Errorf("there is no entry in %s", log)
		}
		nodes = append(nodes, c.Node(log).Addr())
	}
	slices.Sort(nodes)
	if len(slices.Compact(nodes)) < 2 {
		t.Errorf("all logs live on %v", nodes)
	}
}

func (c *onCluster) checkSingleKeys(t *testing.T) {
	c.sent.mu.Lock()
	defer c.sent.mu.Unlock()
	if odd := c.sent.odd; len(odd) > 0 {
		t.Errorf("%d commands with more keys than one, or none: %q", len(odd), odd[:min(5, len(odd))])
	}
	for _, name := range []string{"get", "pttl", "evalsha", "xadd"} {
		if c.sent.names[name] == 0 {
			t.Errorf("no %s was sent", name)
		}
	}
}

// The slot of the log is moved to another node, as resharding does, and back.
func (c *onCluster) checkMoves(t *testing.T) {
	a, b := c.enter(t, redis.Options{}, cache.Options[string, string]{}), c.enter(t, redis.Options{}, cache.Options[string, string]{})
	hold(t, "kept", "kept", a, b)
	home := c.Node(a.logKey())
	for _, to := range append(c.Nodes(), home) {
		hold(t, "k", "old", a, b)
		c.MoveSlot(a.logKey(), to)
		invalidate(t, a, "k")
		missesSoon(t, b, "k")
		upToDateOn(t, c.client, a, b)
		misses(t, b, "k")
		before := b.Stats().LocalHits
		wantGet(t, b.Cache, "kept", "kept")
		if b.Stats().LocalHits != before+1 {
			t.Error("the local tier was dropped")
		}
	}
	a.wantLogGaps(t, "a", 0)
	b.wantLogGaps(t, "b", 0)
}
