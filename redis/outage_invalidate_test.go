package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// wantFailed invalidates keys and wants the remote tier's failure, in time.
func (s *sufferer) wantFailed(t *testing.T, keys ...string) {
	t.Helper()
	start := time.Now()
	err := s.Invalidate(t.Context(), keys...)
	within(t, start, s.store.Budget()+hiccup, fmt.Sprintf("Invalidate of %d keys", len(keys)))
	var remote *cache.RemoteError
	if !errors.As(err, &remote) || remote.Op != "invalidate" || remote.Cache != "ill" || !strings.HasPrefix(err.Error(), "cache: ill: remote invalidate: ") {
		t.Errorf("Invalidate: %v, want a RemoteError of invalidate, of the cache", err)
	}
}

func TestInvalidateWithAnIllRedisReturnsInTimeWithAnError(t *testing.T) {
	for how, address := range neverServed {
		for with, store := range makersToo {
			t.Run(how+"/"+with, func(t *testing.T) {
				t.Parallel()
				s := suffer(t, store(t, address(t), redis.Options{}))
				for range 10 { // with the breaker closed, and then open
					s.wantFailed(t, "k")
				}
			})
		}
	}
	for with, store := range makers {
		t.Run("stops/"+with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := suffer(t, store(t, server.Addr(), redis.Options{}))
			s.wantLoaded(t, "k", "v")
			server.Pause()
			for range 10 {
				s.wantFailed(t, "k")
			}
		})
	}
}

// Invalidate takes the budget at most, says its comment, and so for Remote.Delete.
func TestInvalidateOfManyKeysTakesOneBudget(t *testing.T) {
	s := suffer(t, opened(t, redistest.Blackhole(t), redis.Options{MaxFailures: 1000}))
	keys := make([]string, 5000)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	s.wantFailed(t, keys...)
}

// An Invalidate that is not sent leaves the old value in Redis, where other instances go on
// reading it. When Redis serves again, the key is invalidated before the instance that called
// Invalidate sends a command that reads.
func TestAFailedInvalidateIsMadeBeforeReadsAreSentAgain(t *testing.T) {
	t.Parallel()
	for with, store := range makers {
		for name, writesFail := range map[string]bool{with: false, with + ", with both breakers open": true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				invalidatedBeforeReads(t, store, writesFail)
			})
		}
	}
}

func invalidatedBeforeReads(t *testing.T, store func(*testing.T, string, redis.Options) *redis.Store, writesFail bool) {
	server := redistest.Start(t)
	atClose := make(chan int64, 1)
	a := suffer(t, store(t, server.Addr(), redis.Options{Timeout: sendable, Trace: &redis.Trace{
		Breaker: func(ctx context.Context, i redis.BreakerInfo) {
			if !i.Open && !i.Writes {
				select {
				case atClose <- server.Client().Exists(ctx, "nearside:ill:0:k").Val():
				default:
				}
			}
		},
	}}), copiesLast(10*time.Millisecond))
	b := suffer(t, opened(t, server.Addr(), patient), copiesLast(10*time.Millisecond))
	b.wantLoaded(t, "k", "old")
	a.wantLoaded(t, "k", "old")

	server.Pause()
	for writesFail && !a.store.Stats().WriteBreakerOpen {
		a.wantFailed(t, "another")
	}
	for i := 0; !a.store.Stats().BreakerOpen; i++ {
		a.wantLoaded(t, fmt.Sprint("other-", i), "v")
	}
	a.wantFailed(t, "k") // not sent: nothing deletes the key later
	<-time.After(12 * time.Millisecond)
	if n := a.Stats().Unconfirmed; n == 0 {
		t.Error("nothing is unconfirmed")
	}
	if v, err := a.Get(t.Context(), "k"); err != cache.ErrMiss {
		t.Errorf("Get after a failed Invalidate = %q, %v; want a miss", v, err)
	}
	v, err := a.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) { return "new", nil })
	if v != "new" || err != nil {
		t.Errorf("GetOrLoad after a failed Invalidate = %q, %v; want what was loaded since", v, err)
	}
	server.Resume()
	redistest.Eventually(t, soon, "the breaker is closed", func() bool { return !a.store.Stats().BreakerOpen })
	if n := <-atClose; n != 0 {
		t.Error("reads were sent again while Redis held the old value")
	}
	redistest.Eventually(t, soon, "the keys are confirmed, and the breaker of the writes is closed", func() bool {
		return a.Stats().Unconfirmed == 0 && !a.store.Stats().WriteBreakerOpen
	})
	wantTrustRegained(t, a, b)
}

// wantTrustRegained invalidates k on a, with success, and wants a to read from
// Redis what b loads. It does so again if the machine was away.
func wantTrustRegained(t *testing.T, a, b *sufferer) {
	t.Helper()
	redistest.Eventually(t, soon, "the instance reads what Redis holds", func() bool {
		start := time.Now()
		invalidated := a.Invalidate(t.Context(), "k")
		<-time.After(12 * time.Millisecond) // b's copy ends
		b.wantLoaded(t, "k", "newest")
		v, err := a.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
			return "", errors.New("a load of what Redis holds")
		})
		regained := invalidated == nil && err == nil && v == "newest"
		if !regained && calm(t, start, away) {
			t.Fatalf("Invalidate with a Redis that serves: %v; GetOrLoad = %q, %v; want what Redis holds", invalidated, v, err)
		}
		return regained
	})
	if n := a.Stats().Unconfirmed; n != 0 {
		t.Errorf("%d keys are distrusted, want none", n)
	}
}

func copiesLast(d time.Duration) func(*cache.Options[string, string]) {
	return func(o *cache.Options[string, string]) { o.Local.TTL = d }
}

// A delete that timed out may have been sent, and Redis may carry it out later,
// before or after a fill that was sent: none of this shows the old value.
func TestAnInvalidateThatTimedOutHidesTheOldValueAtOnce(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := suffer(t, store(t, server.Addr(), redis.Options{}), copiesLast(10*time.Millisecond))
			for round := range 5 {
				old, current := fmt.Sprint("v", round), fmt.Sprint("v", round+1)
				if round > 0 {
					redistest.Eventually(t, 5*time.Second, "a delete succeeds", func() bool {
						return s.Invalidate(t.Context(), "k") == nil
					})
				}
				s.wantLoaded(t, "k", old)
				server.Pause()
				s.wantFailed(t, "k")
				s.wantLoaded(t, "k", current)
				server.Resume()
				for range 5 {
					s.wantLoaded(t, "k", current)
					<-time.After(5 * time.Millisecond)
				}
			}
		})
	}
}
