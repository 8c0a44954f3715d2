package redis_test

import (
	"context"
	"fmt"
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
	client := oneClient(t, link, 3*misses)
	s := suffer(t, borrow(t, client, redis.Options{Timeout: budget, MaxFailures: misses}), copiesLast(time.Hour))
	s.warm(t)
	follows(t, s.store)
	greet(t, link, client, 3*misses)
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

// All connections of the pool are dead, and new ones work: the breaker does not try them one
// after the other.
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
		if took := took(start); took > 20*time.Second {
			t.Fatalf("no hit of Redis after %v", took)
		}
		_, _ = s.GetOrLoad(t.Context(), "k", loads("v"))
	}
	if took := took(start); took > 1500*time.Millisecond+hiccup {
		t.Errorf("the first hit of Redis comes after %v", took)
	}
	if n := s.store.Stats().BreakerOpened; n == 0 {
		t.Error("the breaker did not open: the connections were not used")
	}
}
