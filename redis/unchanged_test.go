package redis_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// received returns how many bytes a server has received.
func received(t *testing.T, server *redistest.Server) int {
	t.Helper()
	info := server.Client().Info(t.Context(), "stats").Val()
	_, rest, _ := strings.Cut(info, "total_net_input_bytes:")
	line, _, _ := strings.Cut(rest, "\r\n")
	n, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A value that its source has not modified is kept for another TTL, and not sent again.
func TestAnUnmodifiedValueIsNotSentAgain(t *testing.T) {
	t.Parallel()
	const size = 512 << 10
	server := redistest.Start(t)
	c := join(t, server, redis.Options{}, cache.Options[string, string]{TTL: time.Second, StaleIfError: time.Hour, RemoteOnly: true})
	value := strings.Repeat("x", size)
	loadAs := func(load func(context.Context, string) (string, error)) {
		t.Helper()
		if v, err := c.GetOrLoad(t.Context(), "k", load); v != value || err != nil {
			t.Fatalf("%d bytes, %v", len(v), err)
		}
		idle(t, c)
	}
	loadAs(func(context.Context, string) (string, error) { return value, nil })
	before := received(t, server)
	if before < size {
		t.Fatalf("the server has received %d bytes, less than the value", before)
	}
	client := server.Client()
	left := func() time.Duration { return client.PTTL(t.Context(), record(t, "k")).Val() }
	redistest.Eventually(t, soon, "the value is stale", func() bool { return left() <= time.Hour })
	loadAs(func(ctx context.Context, _ string) (string, error) {
		if v, ok := cache.Previous[string](ctx); v != value || !ok {
			t.Errorf("the previous value has %d bytes", len(v))
		}
		return "", cache.ErrNotModified
	})
	if n := received(t, server) - before; n > size/4 {
		t.Errorf("the server has received %d bytes for a value that was not modified", n)
	}
	if s := c.Stats(); s.Loads != 2 || s.Fills != 2 || s.StaleHits != 0 {
		t.Errorf("%+v", s)
	}
	loadAs(func(context.Context, string) (string, error) { return "", errors.New("the source is down") })
	if n := c.Stats().CorruptRecords; n != 0 {
		t.Errorf("%d corrupt records", n)
	}
}
