package racefills_test

import (
	"flag"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/racefills"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

var (
	inMemory = flag.Int("memory", 20_000, "stale fills to force over the remote tier in memory")
	onRedis  = flag.Int("redis", 2_000, "stale fills to force over a redis-server")
)

func TestNoStaleFillInMemory(t *testing.T) {
	s := newServer()
	force(t, s.Remote(), s.Remote(), *inMemory)
}

// newServer returns a server whose Remotes are patient: a call that has spent its budget
// goes on without the lease, and is no late fill.
func newServer() *cachetest.Server {
	s := cachetest.NewServer()
	s.Budget = time.Minute
	return s
}

func TestNoStaleFillOnRedis(t *testing.T) {
	a, b := stores(t)
	force(t, a, b, *onRedis)
}

func force(t *testing.T, a, b remote.Tier, n int) {
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

// faulty Remotes, with which the same run finds what it looks for.
var faulty = map[string]func(remote.Tier) remote.Tier{
	"without the lease check": func(r remote.Tier) remote.Tier { return racefills.Unfenced{Tier: r} },
	"with a token for all":    func(r remote.Tier) remote.Tier { return &racefills.OneToken{Tier: r} },
}

func TestFaultyFillsAreFoundInMemory(t *testing.T) {
	for name, spoil := range faulty {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			find(t, spoil(s.Remote()), spoil(s.Remote()))
		})
	}
}

func TestFaultyFillsAreFoundOnRedis(t *testing.T) {
	for name, spoil := range faulty {
		t.Run(name, func(t *testing.T) {
			a, b := stores(t)
			find(t, spoil(a), spoil(b))
		})
	}
}

func find(t *testing.T, a, b remote.Tier) {
	t.Helper()
	r := run(t, a, b, 500)
	t.Log(r)
	if r.Stale == 0 {
		t.Error("no old value was found")
	}
}

func run(t *testing.T, a, b remote.Tier, n int) racefills.Result {
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
