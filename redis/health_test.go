package redis_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// reachable returns the health of a Store whose Redis can be reached, in a second that the
// machine is not too busy for.
func reachable(t *testing.T, s *redis.Store) (h redis.Health) {
	t.Helper()
	redistest.Eventually(t, soon, "Redis is reachable", func() bool {
		h = s.Health(t.Context())
		return h.Reachable
	})
	if h.Problem != "" || h.Latency <= 0 {
		t.Errorf("Health = %+v", h)
	}
	return h
}

// wantFindings holds the codes of the findings, in their order.
func wantFindings(t *testing.T, h redis.Health, codes ...string) {
	t.Helper()
	var got []string
	for _, f := range h.Findings {
		got = append(got, f.Code)
	}
	if !slices.Equal(got, codes) {
		t.Errorf("findings %+v, want %v", h.Findings, codes)
	}
}

// wantFindingsSince is wantFindings for a Store with the budget sendable: a Redis that is inspected
// while the machine is away may look distant.
func wantFindingsSince(t *testing.T, began time.Time, h redis.Health, codes ...string) {
	t.Helper()
	h.Findings = slices.DeleteFunc(h.Findings, func(f redis.Finding) bool {
		return f.Code == redis.FindingDistance && !calm(t, began, away)
	})
	wantFindings(t, h, codes...)
}

func TestHealthOfARedisThatServes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			s := suffer(t, store(t, server.Addr(), redis.Options{Timeout: patient.Timeout, Prefix: prefix(t)}))
			follows(t, s.store)
			h := reachable(t, s.store)
			wantFindings(t, h)
			if name, version, _ := strings.Cut(h.Server, " "); name == "" || !strings.Contains(version, ".") {
				t.Errorf("server %q", h.Server)
			}
			if h.BreakerOpen || h.WriteBreakerOpen || !h.LogFollowing || time.Since(h.LogAsOf) > time.Minute {
				t.Errorf("Health = %+v", h)
			}
		})
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"noeviction, no limit":  {[]string{"--maxmemory", "0"}, nil},
		"noeviction, room":      {[]string{"--maxmemory", "1gb"}, nil},
		"noeviction, full":      {[]string{"--maxmemory", "1"}, []string{redis.FindingMemory}},
		"allkeys-lru":           {[]string{"--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"}, []string{redis.FindingEviction}},
		"volatile-ttl":          {[]string{"--maxmemory", "1gb", "--maxmemory-policy", "volatile-ttl"}, []string{redis.FindingEviction}},
		"allkeys-lru, no limit": {[]string{"--maxmemory-policy", "allkeys-lru"}, nil},
		"a replica":             {[]string{"--replicaof", "127.0.0.1", "1"}, []string{redis.FindingReplica}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, redistest.Start(t, test.args...).URL(), patient)
			wantFindings(t, reachable(t, s), test.want...)
		})
	}
}

func TestHealthOfACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()[:1]})
	t.Cleanup(func() { _ = client.Close() })
	s, err := redis.New(client, patient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	wantFindings(t, reachable(t, s))
	l := &lines{}
	plain := open(t, cluster.Nodes()[0].URL(), redis.Options{Timeout: patient.Timeout, Logger: l.logger()})
	wantFindings(t, reachable(t, plain), redis.FindingCluster)
	if all := l.of("finding=cluster"); len(all) != 1 {
		t.Errorf("%d lines of the finding, want one", len(all))
	}
	last := cluster.Nodes()[2]
	configure(t, last, "maxmemory-policy", "allkeys-random")
	configure(t, last, "maxmemory", "1gb")
	wantFindings(t, reachable(t, s), redis.FindingEviction)
	last.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if h := s.Health(ctx); h.Reachable || h.Problem == "" {
		t.Errorf("Health while a node hangs = %+v", h)
	}
}

func configure(t *testing.T, server *redistest.Server, name, value string) {
	t.Helper()
	if err := server.Client().ConfigSet(t.Context(), name, value).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestHealthWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	for how, end := range map[string]func(*redistest.Server){"killed": (*redistest.Server).Kill, "paused": (*redistest.Server).Pause} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru")
			began := time.Now()
			s := open(t, server.URL(), redis.Options{MaxFailures: 1, Timeout: sendable})
			wantFindingsSince(t, began, reachable(t, s), redis.FindingEviction)
			end(server)
			start := time.Now()
			h := s.Health(t.Context())
			within(t, start, 2*time.Second, "Health")
			if h.Reachable || h.Problem == "" || h.Latency != 0 {
				t.Errorf("Health = %+v", h)
			}
			wantFindingsSince(t, began, h, redis.FindingEviction) // of the last time
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if h := s.Health(ctx); h.Reachable || h.Problem != context.Canceled.Error() {
				t.Errorf("Health with a context that has ended = %+v", h)
			}
			if n := s.Stats().BreakerOpened; n != 0 {
				t.Errorf("the breaker has opened %d times", n)
			}
		})
	}
}

// The pause of the probes is longer than the test, so that the breaker stays open.
func TestHealthWhileTheBreakerIsOpen(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(), redis.Options{MaxFailures: 1, ProbeInterval: time.Hour})
	reachable(t, s)
	server.Pause()
	if _, err := s.Get(t.Context(), "k", false); err == nil {
		t.Error("Get from a Redis that hangs: no error")
	}
	server.Resume()
	if h := reachable(t, s); !h.BreakerOpen || h.WriteBreakerOpen {
		t.Errorf("Health = %+v", h)
	}
	if !s.Stats().BreakerOpen {
		t.Error("Health has closed the breaker")
	}
}

// The self-test is a few commands on one connection, once.
func TestTheSelfTestIsMadeOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.ResetCommands()
	s := open(t, server.URL(), patient)
	selfTested(t, s)
	calls := server.Commands()
	for name, want := range map[string]int64{"hello": 2, "get": 1, "eval": 1} { // one HELLO is of go-redis
		if calls[name] != want {
			t.Errorf("%d calls of %s, want %d; all: %v", calls[name], name, want, calls)
		}
	}
	if n := connections(t, server); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

// connections is how many connections the server has accepted since ResetCommands.
func connections(t *testing.T, server *redistest.Server) (n int) {
	t.Helper()
	info, err := server.Client().Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(info, "total_connections_received:")
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Each finding is logged once, when Redis can be reached for the first time, whatever Health
// finds again later.
func TestTheSelfTestWaitsForRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory", "1")
	server.Kill()
	l := &lines{}
	s := open(t, server.URL(), redis.Options{Timeout: patient.Timeout, Logger: l.logger()})
	if h := s.Health(t.Context()); h.Reachable || h.Findings != nil {
		t.Errorf("Health = %+v", h)
	}
	server.Restart()
	redistest.Eventually(t, 30*time.Second, "the self-test is over", func() bool { return redis.SelfTested(s) })
	for range 3 {
		wantFindings(t, reachable(t, s), redis.FindingMemory)
	}
	if all := l.of(""); len(all) != 1 || !strings.Contains(all[0], "finding=memory") {
		t.Errorf("lines %q, want one", all)
	}
}

func TestCloseEndsTheSelfTest(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]string{"nobody listens": redistest.Refused(t), "nobody answers": redistest.Blackhole(t)} {
		t.Run(name, func(t *testing.T) {
			s, err := redis.Open("redis://"+addr, redis.Options{})
			if err != nil {
				t.Fatal(err)
			}
			h := make(chan redis.Health)
			go func() { h <- s.Health(t.Context()) }()
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			within(t, start, time.Second, "Close")
			if h := <-h; h.Reachable || h.Problem == "" {
				t.Errorf("Health during Close = %+v", h)
			}
			if h := s.Health(t.Context()); h.Reachable || h.Problem != "redis: the Store is closed" {
				t.Errorf("Health after Close = %+v", h)
			}
		})
	}
}

func TestHealthOfASentinel(t *testing.T) {
	t.Parallel()
	sentinel := redistest.StartSentinel(t, redistest.Start(t))
	s := open(t, "redis://"+sentinel.Addr(), patient)
	h := reachable(t, s)
	if len(h.Findings) == 0 || h.Findings[0].Code != redis.FindingSentinel {
		t.Errorf("findings %+v", h.Findings)
	}
}

// A page may encode what Health returns. No findings differ from findings that are not known.
func TestHealthIsJSON(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(), patient)
	want := func(h redis.Health, parts ...string) {
		t.Helper()
		text, err := json.Marshal(h)
		for _, part := range parts {
			if err != nil || !strings.Contains(string(text), part) {
				t.Errorf("%s, %v; want %s in it", text, err, part)
			}
		}
	}
	want(reachable(t, s), `"Reachable":true`, `"Findings":[]`)
	server.Kill()
	want(s.Health(t.Context()), `"Reachable":false`, `"Findings":[]`)
	want(open(t, server.URL(), patient).Health(t.Context()), `"Reachable":false`, `"Findings":null`)
}

// The lines of the outage say that the server is a replica, so the finding has no line.
func TestAReplicaIsLoggedOnce(t *testing.T) {
	t.Parallel()
	l := &lines{}
	s := open(t, redistest.Start(t, "--replicaof", "127.0.0.1", "1").URL(), redis.Options{Timeout: patient.Timeout, Logger: l.logger()})
	c := cacheOn(t, s, cache.Options[string, string]{})
	redistest.Eventually(t, soon, "writes are not sent", func() bool {
		if v, err := c.GetOrLoad(t.Context(), rand.Text(), yields[string]("v")); err != nil || v != "v" {
			t.Errorf("GetOrLoad = %q, %v", v, err)
		}
		return s.Stats().WriteBreakerOpen
	})
	selfTested(t, s)
	wantFindings(t, reachable(t, s), redis.FindingReplica)
	if all := l.of(""); len(all) != 1 || !strings.Contains(all[0], "READONLY") {
		t.Errorf("lines %q, want one", all)
	}
}
