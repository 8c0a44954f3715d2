package redis_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// patient is for tests of what Redis does, on a machine that may be busy.
var patient = redis.Options{Timeout: 5 * time.Second}

func open(t *testing.T, url string, o redis.Options) *redis.Store {
	t.Helper()
	s, err := redis.Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// prefix is a name that no other test uses on a server that they share.
func prefix(t *testing.T) string {
	return strings.Map(func(r rune) rune {
		if remote.ValidName(string(r)) {
			return r
		}
		return '-'
	}, t.Name())
}

func TestConformsOnRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	cachetest.TestRemote(t, func(t *testing.T, check func(*testing.T, cachetest.Harness)) {
		t.Parallel()
		o := patient
		o.LeaseTTL = 1500 * time.Millisecond
		o.Prefix = prefix(t)
		a, b := open(t, server.URL(), o), open(t, server.URL(), o)
		check(t, cachetest.Harness{
			A: a, B: b, Crash: func() { _ = a.Close() },
			LeaseTTL:  o.LeaseTTL,
			Sleep:     func(d time.Duration) { <-time.After(d) },
			Tombstone: func(key string, ttl time.Duration) { put(t, server.Client(), o.Prefix+":"+key, tombstone, ttl) },
			Corrupt:   func(key string) { put(t, server.Client(), o.Prefix+":"+key, "corrupt", time.Hour) },
		})
	})
}

// miniredis lets time pass only when it is told to, and holds one set of keys: so
// each check has a server of its own, with a clock that is driven here.
func TestConformsOnMiniredis(t *testing.T) {
	t.Parallel()
	cachetest.TestRemote(t, func(t *testing.T, check func(*testing.T, cachetest.Harness)) {
		t.Parallel()
		server := miniredis.RunT(t)
		client := goredis.NewClient(&goredis.Options{Addr: server.Addr(), ReadTimeout: time.Minute})
		t.Cleanup(func() { _ = client.Close() })
		c := drive(t.Context(), server, client)
		// It takes seconds for what Redis does in milliseconds.
		o := redis.Options{Timeout: time.Minute, LeaseTTL: 1500 * time.Millisecond}
		url := "redis://" + server.Addr() + "?read_timeout=1m"
		a, b := open(t, url, o), open(t, url, o)
		check(t, cachetest.Harness{
			A: a, B: b, Crash: func() { _ = a.Close() },
			LeaseTTL:  o.LeaseTTL,
			Sleep:     c.sleep,
			Tombstone: func(key string, ttl time.Duration) { put(t, client, "nearside:"+key, tombstone, ttl) },
			Corrupt:   func(key string) { put(t, client, "nearside:"+key, "corrupt", time.Hour) },
		})
	})
}

// serverClock is the time that has passed on a miniredis.
type serverClock struct{ passed atomic.Int64 }

// drive lets time pass on server until ctx ends: as much as really passes, but at most 20 ms
// for each PING, which waits for the same processors and the same lock as other commands. So a
// command usually lasts for few of the server's milliseconds on a busy machine, too, and leases do
// not lapse between two commands.
func drive(ctx context.Context, server *miniredis.Miniredis, client *goredis.Client) *serverClock {
	const step, most = 10 * time.Millisecond, 20 * time.Millisecond
	c, last := new(serverClock), time.Now()
	began := last
	server.SetTime(began)
	go func() {
		for {
			select {
			case now := <-time.After(step):
				if client.Ping(ctx).Err() != nil {
					continue // as at the end of ctx
				}
				d := min(now.Sub(last), most)
				server.FastForward(d)
				server.SetTime(began.Add(time.Duration(c.passed.Add(int64(d)))))
				last = now
			case <-ctx.Done():
				return
			}
		}
	}()
	return c
}

// sleep returns when d has passed on the server.
func (c *serverClock) sleep(d time.Duration) {
	for end := c.passed.Load() + int64(d); c.passed.Load() < end; {
		<-time.After(time.Millisecond)
	}
}

const tombstone = "T\x02\x01sixteen byte id."

func put(t *testing.T, client *goredis.Client, key, value string, ttl time.Duration) {
	t.Helper()
	if err := client.Set(t.Context(), key, value, ttl).Err(); err != nil {
		t.Error(err)
	}
}
