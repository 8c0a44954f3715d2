package redistest_test

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/internal/redistest"
)

const (
	soon  = 10 * time.Second
	brief = 100 * time.Millisecond
)

// tcpClient is a client as tests of the module have it: over TCP, without retries, bounded by its context.
func tcpClient(t *testing.T, s *redistest.Server) *goredis.Client {
	t.Helper()
	opts, err := goredis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	opts.MaxRetries = -1
	opts.DialerRetries = 1
	opts.ContextTimeoutEnabled = true
	c := goredis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// pingWithin returns the error of a PING that may take as long as d.
func pingWithin(t *testing.T, c *goredis.Client, d time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return c.Ping(ctx).Err()
}

func mustSet(t *testing.T, c goredis.Cmdable, key, value string) {
	t.Helper()
	if err := c.Set(t.Context(), key, value, 0).Err(); err != nil {
		t.Fatalf("SET %s: %v", key, err)
	}
}

func wantValue(t *testing.T, c goredis.Cmdable, key, want string) {
	t.Helper()
	if got, err := c.Get(t.Context(), key).Result(); err != nil || got != want {
		t.Fatalf("GET %s = %q, %v; want %q", key, got, err, want)
	}
}

func wantCalls(t *testing.T, calls map[string]int64, name string, want int64) {
	t.Helper()
	if got := calls[name]; got != want {
		t.Errorf("%d calls of %s, want %d; all: %v", got, name, want, calls)
	}
}

// gone reports whether no process has this id any more.
func gone(pid int) bool {
	p, err := os.FindProcess(pid)
	return err != nil || errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

func wantGone(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if !gone(pid) {
			t.Errorf("redis-server %d is still there", pid)
		}
	}
}
