package redis_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/faultlink"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// enterByTwoWays adds an instance whose log is read through link, and which reaches
// Redis directly for all else. The reader is the first to connect.
func enterByTwoWays(t *testing.T, server *redistest.Server, link *faultlink.Link, s redis.Options, o cache.Options[string, string]) *instance {
	t.Helper()
	for range 10 {
		client := clientThrough(t, server, link)
		i := settle(t, func(s redis.Options) *redis.Store { return untested(t, client, s) }, s, o)
		if link.Conns() == 1 {
			return i
		}
		_ = i.Cache.Close() // the machine stood still, and the log is read on another connection
		_ = i.store.Close()
	}
	t.Fatal("the log is not read through the link")
	return nil
}

// untested returns a Store that uses client and does not test its server.
func untested(t *testing.T, client goredis.UniversalClient, o redis.Options) *redis.Store {
	t.Helper()
	s, err := redis.NewWithoutSelfTest(client, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// clientThrough returns a client whose first connection, which is that of the log, goes
// through the link, and all others do not.
func clientThrough(t *testing.T, server *redistest.Server, link *faultlink.Link) *goredis.Client {
	t.Helper()
	var dials atomic.Int32
	client := goredis.NewClient(&goredis.Options{Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
		addr := server.Addr()
		if dials.Add(1) == 1 {
			addr = link.Addr()
		}
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// While nobody notices that the log's connection is half open, Local.TTL bounds what is
// served of before, in whatever way it was invalidated, although Redis can be read.
func TestLocalTTLBoundsWhatAHalfOpenLogLeaves(t *testing.T) {
	t.Parallel()
	const ttl = 300 * time.Millisecond
	for name, invalidates := range map[string]func(*testing.T, *instance){
		"a key":           func(t *testing.T, a *instance) { invalidate(t, a, "k") },
		"a tag":           func(t *testing.T, a *instance) { invalidateTags(t, a, "t") },
		"the whole cache": invalidateAll,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			link := lineTo(t, server)
			o := cache.Options[string, string]{Tags: tagsOf, Local: local.Options{TTL: ttl}}
			a := enter(t, server.Addr(), redis.Options{}, o)
			b := enterByTwoWays(t, server, link, redis.Options{LogTimeout: time.Minute}, o)
			hold(t, "k", "old|t", a, b)
			hasRecords(t, server, a, "t")
			link.Drop()
			invalidates(t, a)
			done := time.Now()
			for {
				asked := time.Now()
				v, err := b.Get(t.Context(), "k")
				if errors.Is(err, cache.ErrMiss) {
					break
				}
				if took := ran(done, asked); took > ttl {
					t.Fatalf("%v after the invalidation, with a Local.TTL of %v: Get = %q, %v", took, ttl, v, err)
				}
				<-time.After(time.Millisecond)
			}
			misses(t, b, "k")
			wantLoad(t, a.Cache, "k", "new|t")
			wantGet(t, b.Cache, "k", "new|t")
			if !b.store.Stats().LogFollowing {
				t.Error("the outage was noticed")
			}
		})
	}
}

// A log whose connection alone is half open is read again within LogTimeout, on another.
func TestAHalfOpenLogIsReadOnAnotherConnection(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enterByTwoWays(t, server, link, redis.Options{LogTimeout: quickLog}, cache.Options[string, string]{})
	hold(t, "k", "old", a, b)
	hold(t, "kept", "kept", a, b)
	began := time.Now()
	link.Drop()
	invalidate(t, a, "k")
	missesSoon(t, b, "k")
	within(t, began, quickLog+noticed, "to be told of the entry")
	before := b.Stats().LocalHits
	wantGet(t, b.Cache, "kept", "kept")
	if b.Stats().LocalHits != before+1 {
		t.Error("the local tier was dropped")
	}
	b.wantLogGaps(t, "a half open log", 0)
	b.wantOneLoss(t, began, "a half open log")
	if n := b.store.Stats().BreakerOpened; n != 0 {
		t.Errorf("the breaker opened %d times", n)
	}
}
