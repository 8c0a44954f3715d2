package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// partitioned are caches of many names on a Store with some logs.
type partitioned struct {
	store  *redis.Store
	caches map[string]*cache.Cache[string, string]
}

var partitionedNames = strings.Split("a b c d e f g h users orders", " ")

func newPartitioned(t *testing.T, server *redistest.Server) *partitioned {
	t.Helper()
	o := quick
	o.Prefix, o.LogPartitions, o.Timeout, o.LogTimeout = prefix(t), 3, patient.Timeout, time.Minute
	p := &partitioned{open(t, server.URL(), o), make(map[string]*cache.Cache[string, string])}
	for _, name := range partitionedNames {
		p.caches[name] = cacheOn(t, p.store, cache.Options[string, string]{Name: name, Tags: tagsOf})
	}
	follows(t, p.store)
	return p
}

// partitionsOf finds out which log each cache has, from where its entries go.
func partitionsOf(t *testing.T, server *redistest.Server, p *partitioned) map[string]string {
	t.Helper()
	logs := make(map[string]string)
	lengths := func() (n map[string]int64) {
		n = make(map[string]int64)
		for i := range 3 {
			log := fmt.Sprint(prefix(t), ":log:", i)
			n[log] = server.Client().XLen(t.Context(), log).Val()
		}
		return n
	}
	for name, c := range p.caches {
		before := lengths()
		if err := c.Invalidate(t.Context(), "none"); err != nil {
			t.Error(err)
		}
		for log, n := range lengths() {
			if n > before[log] {
				logs[name] = log
			}
		}
	}
	return logs
}

func TestCachesAreToldOfTheirsWithSeveralLogs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := newPartitioned(t, server), newPartitioned(t, server)
	logs := partitionsOf(t, server, a)
	used := make(map[string]int)
	for _, log := range logs {
		used[log]++
	}
	if len(logs) != len(partitionedNames) || len(used) != 3 {
		t.Fatalf("the caches have the logs %v, want three for all", logs)
	}
	for _, name := range partitionedNames {
		wantLoad(t, a.caches[name], "k", "v|t")
		wantGet(t, b.caches[name], "k", "v|t")
	}
	for _, name := range partitionedNames {
		c := a.caches[name]
		for what, invalidate := range map[string]func() error{
			"key": func() error { return c.Invalidate(t.Context(), "k") },
			"tag": func() error { return c.InvalidateTags(t.Context(), "t") },
			"all": func() error { return c.InvalidateAll(t.Context()) },
		} {
			if err := invalidate(); err != nil {
				t.Error(err)
			}
			redistest.Eventually(t, soon, name+": the other instance misses after one of "+what, func() bool {
				_, err := b.caches[name].Get(t.Context(), "k")
				return err == cache.ErrMiss
			})
			wantLoad(t, c, "k", "v|t")
			wantGet(t, b.caches[name], "k", "v|t")
		}
	}
	for _, name := range partitionedNames {
		// The key, the tag and the whole cache, the latter two twice, and partitionsOf's.
		received := func() uint64 { return b.caches[name].Stats().InvalidationsReceived }
		redistest.Eventually(t, soon, name+" has received six invalidations", func() bool { return received() >= 6 })
		if n := received(); n != 6 {
			t.Errorf("%s has received %d invalidations, want 6", name, n)
		}
	}
	if s := b.store.Stats(); !s.LogFollowing || s.LogSessions != 3 || s.LogGaps != 0 || s.LogEntries < 6*uint64(len(partitionedNames)) {
		t.Errorf("Stats = %+v, want three sessions, and six entries for each of %d caches", s, len(partitionedNames))
	}
	redistest.Eventually(t, soon, "the depth is that of all logs", func() bool {
		n := int64(0)
		for log := range used {
			n += server.Client().XLen(t.Context(), log).Val()
		}
		return n > 0 && b.store.Stats().LogDepth == n
	})
}

// What becomes of one log is nothing to the caches of the others.
func TestLogsAreLostApart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := newPartitioned(t, server)
	logs := partitionsOf(t, server, p)
	lost := logs["users"]
	del(t, server, lost)
	redistest.Eventually(t, soon, "the gap is found", func() bool { return p.store.Stats().LogGaps == 1 })
	redistest.Eventually(t, soon, "all caches follow", func() bool { return p.store.Stats().LogFollowing })
	for name, c := range p.caches {
		want := uint64(0)
		if logs[name] == lost {
			want = 1
		}
		redistest.Eventually(t, soon, fmt.Sprintf("%s, with %s, has %d gaps", name, logs[name], want), func() bool { return c.Stats().Gaps == want })
	}
	// One that cannot be read.
	del(t, server, lost)
	if err := server.Client().RPush(t.Context(), lost, "no log").Err(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, soon, "not all logs are read", func() bool { return !p.store.Stats().LogFollowing })
	for name, c := range p.caches {
		redistest.Eventually(t, soon, "the caches of that log know", func() bool { return c.Stats().LogFollowed == (logs[name] != lost) })
	}
}

func TestOptionsOfTheLogAreChecked(t *testing.T) {
	t.Parallel()
	_, err := redis.Open("redis://127.0.0.1", redis.Options{LogLength: -1, LogBytes: -1, LogPartitions: -1, LogTimeout: -1, Prefix: "a b"})
	for _, want := range []string{"LogLength is negative", "LogBytes is negative", "LogPartitions is negative", "LogTimeout is negative", "Prefix"} {
		if err == nil || strings.Count(err.Error(), want) != 1 {
			t.Errorf("Open: %v, want an error that says once that %s", err, want)
		}
	}
	if _, err := redis.Open("redis://127.0.0.1", redis.Options{LogTimeout: 4*time.Millisecond - 1}); err == nil || !strings.Contains(err.Error(), "LogTimeout is less") {
		t.Errorf("Open: %v, want an error that LogTimeout is too short", err)
	}
	s, err := redis.Open("redis://127.0.0.1", redis.Options{LogTimeout: 4 * time.Millisecond, LogLength: 1, LogPartitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}
