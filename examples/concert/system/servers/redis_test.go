package servers_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/examples/concert/system/servers"
	"github.com/nearside-go/nearside/internal/redistest"
)

// onEach runs a test on a miniredis and on a redis-server.
func onEach(t *testing.T, test func(*testing.T, servers.Redis, *goredis.Client)) {
	t.Run("miniredis", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir()) // there is nothing
		r, c := startRedis(t.Context(), t)
		if _, err := c.Info(t.Context(), "server").Result(); err == nil {
			t.Fatal("it is a redis-server")
		}
		test(t, r, c)
	})
	t.Run("redis-server", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("a redis-server is used on Linux only")
		}
		redistest.Require(t)
		r, c := startRedis(t.Context(), t)
		if _, err := c.Info(t.Context(), "server").Result(); err != nil {
			t.Fatalf("it is no redis-server: %v", err)
		}
		test(t, r, c)
	})
}

// startRedis returns a Redis and a client that does not try again.
func startRedis(ctx context.Context, t *testing.T) (servers.Redis, *goredis.Client) {
	t.Helper()
	r, err := servers.StartRedis(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
	})
	o, err := goredis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries, o.DialerRetries, o.ReadTimeout = -1, 1, within
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return r, c
}

// TestAKilledRedis: a Redis that was killed refuses connections until it starts again, with nothing
// in it.
func TestAKilledRedis(t *testing.T) {
	onEach(t, func(t *testing.T, r servers.Redis, c *goredis.Client) {
		ctx := t.Context()
		if err := c.Set(ctx, "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Get(ctx, "key").Result(); got != "value" || err != nil {
			t.Fatalf("the value is %q, error %v", got, err)
		}
		for range 2 { // the second time nothing runs
			if err := r.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := dial(c); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("error %v, want that the connection is refused", err)
			}
		}
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Get(ctx, "key").Result(); !errors.Is(err, goredis.Nil) {
			t.Errorf("the value is %q, error %v, want none", got, err)
		}
		if err := c.Set(ctx, "key", "value", 0).Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestAHungRedis: a Redis that hangs accepts connections, and answers once it goes on.
func TestAHungRedis(t *testing.T) {
	onEach(t, func(t *testing.T, r servers.Redis, c *goredis.Client) {
		if err := r.Hang(); err != nil {
			t.Fatal(err)
		}
		var answer chan error
		await(t, "a PING has no answer for 200 ms", func() bool {
			answer = make(chan error, 1)
			go func() { answer <- c.Ping(t.Context()).Err() }()
			select {
			case <-answer: // the process has SIGSTOP, and has not stopped yet
				return false
			case <-time.After(200 * time.Millisecond):
				return true
			}
		})
		if err := dial(c); err != nil {
			t.Errorf("a connection is not accepted: %v", err)
		}
		if err := r.Resume(); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Errorf("no answer after the hang: %v", err)
		}
	})
}

// TestARedisThatCannotStart: another process has its port until it is killed once more.
func TestARedisThatCannotStart(t *testing.T) {
	onEach(t, func(t *testing.T, r servers.Redis, c *goredis.Client) {
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", c.Options().Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := r.Start(); err == nil || !strings.Contains(err.Error(), "redis") {
			t.Errorf("error %v, want one of Redis", err)
		}
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestARedisThatIsNotAwaited: Start ends with the context of StartRedis, and leaves no Redis.
func TestARedisThatIsNotAwaited(t *testing.T) {
	stopped := errors.New("stopped")
	ctx, stop := context.WithCancelCause(t.Context())
	r, c := startRedis(ctx, t)
	stop(stopped)
	if err := dial(c); err != nil {
		t.Errorf("it has ended with the context: %v", err)
	}
	if err := errors.Join(r.Kill(), r.Start()); !errors.Is(err, stopped) {
		t.Errorf("error %v, want one that wraps %q", err, stopped)
	}
	if err := dial(c); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v, want that the connection is refused", err)
	}
}

// dial returns the error of a connection to the server of a client.
func dial(c *goredis.Client) error {
	conn, err := net.DialTimeout("tcp", c.Options().Addr, within)
	if err != nil {
		return err
	}
	return conn.Close()
}
