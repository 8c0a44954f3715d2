package redis_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// A client of its own timeouts, 5 s to read, is left behind at the budget; also
// when all its connections are taken by commands that were left behind.
func TestTheBudgetHoldsForAClientOfLongTimeouts(t *testing.T) {
	const poolSize = 4
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Blackhole(t), ReadTimeout: 5 * time.Second, PoolSize: poolSize})
	s := suffer(t, borrow(t, client, redis.Options{MaxFailures: 1000}))
	for range poolSize {
		s.wantLoaded(t, "k", "v")
		s.wantFailed(t, "k")

		start := time.Now()
		if _, err := s.Get(t.Context(), "k"); err != cache.ErrMiss {
			t.Errorf("Get: %v, want a miss", err)
		}
		within(t, start, s.store.Budget()+hiccup, "Get")

		start = time.Now()
		var remote *cache.RemoteError
		if err := s.Set(t.Context(), "k", "v"); !errors.As(err, &remote) || remote.Op != "set" {
			t.Errorf("Set: %v, want a RemoteError of set", err)
		}
		within(t, start, s.store.Budget()+hiccup, "Set")
	}
	if s.store.Stats().BreakerOpen {
		t.Error("the breaker is open: the calls were not measured")
	}
}

// Reply after reply is late, none by more than the budget, all together are.
func TestASlowRedisCostsAMissOneBudgetInAll(t *testing.T) {
	const (
		budget = 2500 * time.Millisecond
		delay  = time.Second // three of them are more than the budget, two are not
	)
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			fill(t, server, "hit")
			link := newSlowLink(t, server.Addr())
			s := suffer(t, store(t, link.Addr().String(), redis.Options{Timeout: budget}))
			s.warm(t)
			s.wantLoaded(t, "hit", "old") // after some misses in a row the lease would be taken with the read
			link.delay.Store(int64(delay))
			arrived, disturbed := false, true
			for i := 0; i < 3 && !arrived && disturbed; i++ { // the lease may be late on a busy machine
				key, start := fmt.Sprint("miss", i), time.Now()
				if v, err := s.GetOrLoad(t.Context(), key, loads("v")); err != nil || v != "v" {
					t.Errorf("GetOrLoad = %q, %v; want v", v, err)
				}
				if took := time.Since(start); took < 2*delay {
					t.Errorf("GetOrLoad took %v: it did not wait for a lease", took)
				}
				within(t, start, budget+loadTakes+hiccup, "GetOrLoad")
				idle(t, s)
				arrived = server.Client().GetRange(t.Context(), stored(key), 0, 0).Val() == "V"
				disturbed = !calm(t, start, away)
			}
			if !arrived && !disturbed {
				t.Error("the value is not in Redis")
			}
		})
	}
}

func TestASlowRedisStillServesHits(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			for i := range 10 {
				fill(t, server, fmt.Sprint(i))
			}
			link := newSlowLink(t, server.Addr())
			s := suffer(t, store(t, link.Addr().String(), patient))
			s.warm(t)
			link.delay.Store(int64(30 * time.Millisecond))
			for i := range 10 {
				s.wantLoaded(t, fmt.Sprint(i), "old")
			}
			if n := s.Stats().RemoteHits; n != 10 {
				t.Errorf("%d hits in Redis, want 10", n)
			}
		})
	}
}

// inFlight counts the reads that a client has under way.
type inFlight struct{ now, all atomic.Int64 }

func (c *inFlight) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (c *inFlight) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (c *inFlight) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if cmds[0].Name() == "get" { // and not the greeting of a new connection
			c.all.Add(1)
			c.now.Add(1)
			defer c.now.Add(-1)
		}
		return next(ctx, cmds)
	}
}

func TestCommandsLeftBehindEndAtTheClientsOwnTime(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Blackhole(t), ReadTimeout: 2 * time.Second})
	var reads inFlight
	client.AddHook(&reads)
	s := suffer(t, borrow(t, client, redis.Options{ProbeInterval: never}))
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() { readMany(t, s, fmt.Sprint(i), 50) })
	}
	readers.Wait()
	if reads.now.Load() == 0 {
		t.Error("no read was left behind")
	}
	// Each reader may have one under way when the breaker opens.
	if n, limit := reads.all.Load(), int64(redis.DefaultMaxFailures+4); n > limit {
		t.Errorf("%d reads were sent, want at most %d", n, limit)
	}
	redistest.Eventually(t, soon, "no read is under way", func() bool { return reads.now.Load() == 0 })
}
