package racefills_test

import (
	"flag"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/internal/racefills"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

var (
	inMemory = flag.Int("memory", 20_000, "stale fills to force over the remote tier in memory")
	onRedis  = flag.Int("redis", 2_000, "stale fills to force over a redis-server")
)

func TestNoStaleFillInMemory(t *testing.T) {
	s := cachetest.NewServer()
	force(t, s.Remote(), s.Remote(), *inMemory)
}

func TestNoStaleFillOnRedis(t *testing.T) {
	a, b := stores(t)
	force(t, a, b, *onRedis)
}

func force(t *testing.T, a, b cache.Remote, n int) {
	t.Helper()
	r := run(t, a, b, n)
	t.Log(r)
	if r.Stale != 0 {
		t.Errorf("%d old values were kept", r.Stale)
	}
	if r.Refused+r.Doomed < n {
		t.Errorf("%d of %d late fills were kept out: the race was not forced", r.Refused+r.Doomed, n)
	}
}

// Without the check of the lease the same run finds what it looks for.
func TestUnfencedFillsAreFoundInMemory(t *testing.T) {
	s := cachetest.NewServer()
	find(t, s.Remote(), s.Remote())
}

func TestUnfencedFillsAreFoundOnRedis(t *testing.T) {
	a, b := stores(t)
	find(t, a, b)
}

func find(t *testing.T, a, b cache.Remote) {
	t.Helper()
	r := run(t, racefills.Unfenced{Remote: a}, racefills.Unfenced{Remote: b}, 500)
	t.Logf("without the lease check: %v", r)
	if r.Stale == 0 {
		t.Error("no old value was found without the lease check")
	}
}

func run(t *testing.T, a, b cache.Remote, n int) racefills.Result {
	t.Helper()
	r, err := racefills.Run(t.Context(), a, b, n, 16)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func stores(t *testing.T) (a, b *redis.Store) {
	t.Helper()
	server := redistest.Start(t)
	open := func() *redis.Store {
		s, err := redis.Open(server.URL(), redis.Options{Timeout: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	return open(), open()
}
