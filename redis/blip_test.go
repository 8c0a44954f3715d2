package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// A load ends while the breaker is open, so that its lease can be neither filled nor
// released. When Redis is back nobody must wait for it until it lapses.
func TestALeaseThatOutlivesABlipIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"filled": nil, "released": errors.New("source down")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			o := redis.Options{Prefix: prefix(t), LeaseTTL: 30 * time.Second}
			store := open(t, server.URL(), o)
			a := cacheOn(t, store, cache.Options[string, string]{})
			b := join(t, server, redis.Options{Prefix: o.Prefix}, cache.Options[string, string]{})
			load := newBlocked(t, "old", failure)
			first := start(t, a, load.load)
			<-load.started
			server.Pause()
			redistest.Eventually(t, soon, "the breaker opens", func() bool {
				_, _ = a.Get(t.Context(), "other")
				return store.Stats().BreakerOpen
			})
			close(load.let)
			if got := <-first; !errors.Is(got.err, failure) {
				t.Fatalf("GetOrLoad: %v, want %v", got.err, failure)
			}
			server.Resume()
			if got := wantCall(t, start(t, b, yields[string]("new")), "new"); got.took > o.LeaseTTL/2 {
				t.Errorf("another instance waited %v, with a LeaseTTL of %v", got.took, o.LeaseTTL)
			}
		})
	}
}

// A lease that was asked for in vain is granted when Redis goes on, long after.
func TestALeaseThatIsGrantedLongAfterIsGivenUp(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	o := redis.Options{LeaseTTL: 1500 * time.Millisecond, MaxFailures: 1000, Timeout: sendable}
	s := open(t, server.URL(), o)
	redistest.Eventually(t, soon, "it connects", func() bool {
		_, err := s.Get(t.Context(), "c:0:k", false)
		return err == nil
	})
	selfTested(t, s)
	server.ResetCommands()
	server.Pause()
	if _, _, err := s.Lease(t.Context(), "c:0:k", time.Minute, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Lease: %v", err)
	}
	<-time.After(2 * o.LeaseTTL)
	server.Resume()
	redistest.Eventually(t, soon, "the lease is gone", func() bool {
		return server.Client().Exists(t.Context(), "nearside:c:0:k").Val() == 0 && server.Commands()["evalsha"]+server.Commands()["eval"] > 1
	})
	nothingLapsed(t, server)
}

// nothingLapsed wants all that is gone from server to have been deleted.
func nothingLapsed(t *testing.T, server *redistest.Server) {
	t.Helper()
	stats, err := server.Client().Info(t.Context(), "stats").Result()
	if err != nil || !strings.Contains(stats, "expired_keys:0\r\n") {
		t.Errorf("a lease lapsed, and was not given up: INFO stats, %v:\n%s", err, stats)
	}
}
