package redis_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/faultlink"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// oneClient returns a client with one pool, for commands and pipelines.
func oneClient(t *testing.T, link *faultlink.Link, connections int) *goredis.Client {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{
		Addr: link.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1,
		PipelinePoolSize: -1, PoolSize: connections,
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// greet uses all connections of a client at once, so that each of them is ready for use.
func greet(t *testing.T, link *faultlink.Link, client *goredis.Client, connections int) {
	t.Helper()
	link.Delay(20 * time.Millisecond)
	redistest.Eventually(t, soon, "all connections are in use", func() bool {
		var pings sync.WaitGroup
		for range connections {
			pings.Go(func() { _ = client.Ping(t.Context()).Err() })
		}
		pings.Wait()
		return client.PoolStats().IdleConns == uint32(connections)
	})
	link.Delay(0)
}

// Redis answers, and so late that the lease of a miss gets too little of the budget. That
// says nothing about Redis: an Invalidate, which has a budget of its own, is sent.
func TestACommandThatGotLittleTimeProvesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	const budget, late, misses = 4 * time.Second, 2200 * time.Millisecond, 3
	const connections = 4 * misses // a quarter of them is for leases, so none waits for its turn
	client := oneClient(t, link, connections)
	s := suffer(t, borrow(t, client, redis.Options{Timeout: budget, MaxFailures: misses}), copiesLast(time.Hour))
	s.warm(t)
	follows(t, s.store)
	greet(t, link, client, connections)
	link.Delay(late / 2) // each way
	var callers sync.WaitGroup
	for i := range misses {
		callers.Go(func() {
			v, err := s.GetOrLoad(t.Context(), fmt.Sprint("miss-", i), func(context.Context, string) (string, error) { return "v", nil })
			if v != "v" || err != nil {
				t.Errorf("GetOrLoad = %q, %v", v, err)
			}
		})
	}
	callers.Wait()
	if n := s.Stats().RemoteTimeouts; n != misses {
		t.Errorf("the leases of %d misses came too late, want %d", n, misses)
	}
	if st := s.store.Stats(); st.BreakerOpened != 0 {
		t.Errorf("the breaker opened %d times", st.BreakerOpened)
	}
	if err := s.Invalidate(t.Context(), "k"); err != nil {
		t.Errorf("Invalidate: %v", err)
	}
}

// All connections of the pool are dead, and new ones work: they are not tried one after the
// other.
func TestDeadConnectionsAreLeftAtOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	const connections = 40
	client := oneClient(t, link, connections)
	s := suffer(t, borrow(t, client, redis.Options{}), func(o *cache.Options[string, string]) { o.RemoteOnly = true })
	s.warm(t)
	greet(t, link, client, connections)
	link.Drop()
	link.Restore()
	start := time.Now()
	hits := s.Stats().RemoteHits
	for s.Stats().RemoteHits == hits {
		if took := took(start); took > soon {
			t.Fatalf("no hit of Redis after %v", took)
		}
		_, _ = s.GetOrLoad(t.Context(), "k", loads("v"))
	}
	within(t, start, 1500*time.Millisecond+hiccup, "the first hit of Redis")
	if s.Stats().RemoteTimeouts == 0 {
		t.Error("no command timed out: the dead connections were not used")
	}
}

// Each third reply comes too late, and never two in a row: such a Redis is left alone until it
// answers steadily.
func TestARedisThatAnswersTooOftenTooLateIsLeftAlone(t *testing.T) {
	t.Parallel()
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			const budget = 200 * time.Millisecond
			link := newSlowLink(t, redistest.Start(t).Addr())
			s := store(t, link.Addr().String(), redis.Options{MaxFailures: 1000, Timeout: budget})
			link.every.Store(3)
			link.delay.Store(int64(2 * budget))
			redistest.Eventually(t, time.Minute, "the breaker opens", func() bool {
				var reads sync.WaitGroup
				for range 10 {
					reads.Go(func() { _, _ = s.Get(t.Context(), "k", false) })
				}
				reads.Wait()
				return s.Stats().BreakerOpen
			})
			before := link.conns.Load()
			redistest.Eventually(t, time.Minute, "some probes come", func() bool {
				return link.conns.Load() >= before+3 || !s.Stats().BreakerOpen
			})
			if st := s.Stats(); !st.BreakerOpen || st.BreakerOpened != 1 {
				t.Errorf("the breaker has opened %d times, and is open: %v; want once, and true", st.BreakerOpened, st.BreakerOpen)
			}
			link.delay.Store(0)
			redistest.Eventually(t, soon, "the breaker closes", func() bool { return !s.Stats().BreakerOpen })
		})
	}
}

// hidden is a connection whose socket go-redis cannot look at, like that of TLS.
type hidden struct{ net.Conn }

// The server closes idle connections, as its option timeout makes it do: the first
// invalidation after a quiet spell succeeds, and no breaker opens.
func TestAClosedIdleConnectionIsNoFailure(t *testing.T) {
	t.Parallel()
	const connections = 10
	server := redistest.Start(t)
	link := lineTo(t, server)
	client := goredis.NewClient(&goredis.Options{
		Addr: link.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1, PipelinePoolSize: -1, PoolSize: connections,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return hidden{conn}, err
		},
	})
	s := borrow(t, client, redis.Options{MaxFailures: 1, Timeout: patient.Timeout})
	greet(t, link, client, connections)
	if err := server.Client().ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, soon, "the connections are closed", func() bool {
		list, err := server.Client().ClientList(t.Context()).Result()
		return err == nil && strings.Count(list, "\n") == 1
	})
	if err := s.Invalidate(t.Context(), []string{"k"}, 0); err != nil {
		t.Errorf("Invalidate: %v", err)
	}
	if n := s.Stats().BreakerOpened; n != 0 {
		t.Errorf("the breaker opened %d times", n)
	}
}
