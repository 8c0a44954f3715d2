package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// A Sentinel promotes a replica while an instance invalidates keys, one after the other. The
// replica has lost its connection to the old primary before, which goes on acknowledging
// invalidations: these are lost. None of the old values is served any more once there was time
// to notice that.
func TestASentinelFailoverLosesNoInvalidation(t *testing.T) {
	t.Parallel()
	const keys, some, pause = 1000, 50, 2 * time.Millisecond
	primary := redistest.Start(t)
	redistest.StartReplica(t, primary)
	sentinel := redistest.StartSentinel(t, primary)
	join := func() *instance {
		client := goredis.NewFailoverClient(&goredis.FailoverOptions{
			MasterName: sentinel.MasterName(), SentinelAddrs: []string{sentinel.Addr()}, ContextTimeoutEnabled: true,
		})
		t.Cleanup(func() { _ = client.Close() })
		return enterWith(t, client, quick, lasting)
	}
	a, b := join(), join()
	key := func(k int) string { return fmt.Sprint("k", k) }
	for k := range keys {
		hold(t, key(k), "old|t", a, b)
	}
	if n, err := primary.Client().Wait(t.Context(), 1, soon).Result(); n != 1 || err != nil {
		t.Fatalf("the replica has not got the values: %d, %v", n, err)
	}

	over, ended := make(chan struct{}), make(chan struct{})
	var tried atomic.Int32
	var acknowledged []int
	go func() {
		defer close(ended)
		for k := range keys {
			if a.Invalidate(t.Context(), key(k)) == nil {
				acknowledged = append(acknowledged, k)
			}
			tried.Add(1)
			select {
			case <-over:
				return
			case <-time.After(pause):
			}
		}
	}()
	more := func() {
		t.Helper()
		until := min(tried.Load()+some, keys)
		redistest.Eventually(t, soon, "some more keys are invalidated", func() bool { return tried.Load() >= until })
	}
	more()
	primary.DenyReplicas()
	more()
	sentinel.Failover()
	more()
	close(over)
	<-ended

	start := time.Now()
	for name, i := range map[string]*instance{"the writer": a, "the other": b, "a new instance": join()} {
		for {
			asked, old := time.Now(), 0
			for _, k := range acknowledged {
				v, err := i.Get(t.Context(), key(k))
				if err == nil && v == "old|t" {
					old++
				} else if !errors.Is(err, cache.ErrMiss) {
					t.Errorf("Get: %q, %v", v, err)
				}
			}
			if old == 0 {
				break
			}
			if took := ran(start, asked); took > noticedWithin {
				t.Fatalf("%s serves %d old values %v after the failover", name, old, took)
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	if a.store.Stats().LogReverts+b.store.Stats().LogReverts == 0 {
		t.Error("the loss was not noticed")
	}
	t.Logf("%d invalidations were acknowledged", len(acknowledged))
}

// The old primary goes on answering, and so does the log's reader there. The reader leaves when
// the client has a connection to another one, and not when it next asks about the log.
func TestTheLogIsReadWhereAFailoverClientGoes(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	client := goredis.NewClient(&goredis.Options{
		Addr:            "FailoverClient", // as go-redis calls it
		ConnMaxIdleTime: time.Nanosecond,  // each command makes a connection
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", p.current.Load().Addr())
		},
	})
	t.Cleanup(func() { _ = client.Close() })
	a := enterWith(t, client, redis.Options{LogTimeout: time.Hour}, lasting)
	p.detach(t)
	p.current.Store(p.replica)
	redistest.Eventually(t, soon, "the log is read on the other server", func() bool {
		_, _ = a.Get(t.Context(), "k")
		return a.store.Stats().LogSessions > 1
	})
	upToDate(t, p.replica, a)
}
