package redis_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// Redis answers, and so late that the lease of a miss gets too little of the budget. That
// says nothing about Redis: an Invalidate, which has a budget of its own, is sent.
func TestACommandThatGotLittleTimeProvesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	const budget, late, misses = 4 * time.Second, 2200 * time.Millisecond, 3
	s := suffer(t, opened(t, link.Addr(), redis.Options{Timeout: budget, MaxFailures: misses}), copiesLast(time.Hour))
	s.warm(t)
	follows(t, s.store)
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
	const connections = 20
	address := fmt.Sprintf("%s/0?min_idle_conns=%d&pool_size=%d", link.Addr(), connections, connections)
	s := suffer(t, opened(t, address, redis.Options{}), func(o *cache.Options[string, string]) { o.RemoteOnly = true })
	s.warm(t)
	redistest.Eventually(t, soon, "the pool is full", func() bool { return link.Conns() > connections })
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
	if took := took(start); took > time.Second+hiccup {
		t.Errorf("the first hit of Redis comes after %v", took)
	}
}
