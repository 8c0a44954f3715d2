package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// stored is the Redis key of one of a sufferer's keys.
func stored(key string) string { return "nearside:ill:0:" + key }

// checkServed wants reads of s to go on in time, and an Invalidate to tell the
// truth about the server that holds the key.
func checkServed(t *testing.T, s *sufferer, holder *redistest.Server, key string) {
	t.Helper()
	for i := range 3 {
		s.wantLoaded(t, fmt.Sprint(t.Name(), i), "v")
	}
	checkInvalidate(t, s, holder, key)
	s.wantLoaded(t, key, "new")
	if n := s.Stats().CorruptRecords; n != 0 {
		t.Errorf("%d records are said to be corrupt", n)
	}
}

// checkInvalidate invalidates key, and wants an error if holder holds it still.
func checkInvalidate(t *testing.T, s *sufferer, holder *redistest.Server, key string) (err error) {
	t.Helper()
	start := time.Now()
	err = s.Invalidate(t.Context(), key)
	within(t, start, s.store.Budget()+hiccup, "Invalidate")
	left, existsErr := holder.Client().Exists(context.Background(), stored(key)).Result()
	if existsErr != nil {
		t.Fatal(existsErr)
	}
	if err == nil && left != 0 {
		t.Error("Invalidate returned nil, and Redis holds the old record")
	}
	return err
}

// fill makes an instance with every right fill key on server with old.
func fill(t *testing.T, server *redistest.Server, key string) {
	t.Helper()
	s := suffer(t, opened(t, server.Addr(), patient))
	s.wantLoaded(t, key, "old")
	idle(t, s)
	if server.Client().GetRange(t.Context(), stored(key), 0, 0).Val() != "V" {
		t.Fatalf("%s is not in Redis", key)
	}
}

func TestReadonly(t *testing.T) {
	primary := redistest.Start(t)
	fill(t, primary, "k")
	replica := redistest.StartReplica(t, primary)
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			s := suffer(t, store(t, replica.Addr(), patient))
			s.wantLoaded(t, "k", "old") // a replica answers reads
			if n := s.Stats().RemoteHits; n != 1 {
				t.Errorf("%d hits in Redis, want 1", n)
			}
			checkServed(t, s, primary, "k")
		})
	}
}

func TestLoading(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			fill(t, server, "k")
			s := suffer(t, store(t, server.Addr(), redis.Options{}))
			end := server.Load(t, 1000)
			s.wantFailed(t, "k")
			for i := range 10 {
				s.wantLoaded(t, fmt.Sprint(i), "v")
			}
			if !s.store.Stats().BreakerOpen {
				t.Error("the breaker is closed while Redis loads")
			}
			end()
			if server.Client().Exists(t.Context(), stored("k")).Val() != 1 {
				t.Error("an Invalidate that failed was carried out")
			}
			s.wantLoaded(t, "k", "new")
			redistest.Eventually(t, soon, "Invalidate succeeds", func() bool {
				return checkInvalidate(t, s, server, "k") == nil
			})
		})
	}
}

func TestClusterDown(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
	for with, store := range makersToo {
		t.Run(with, func(t *testing.T) {
			s := suffer(t, store(t, server.Addr(), redis.Options{}))
			for i := range 20 {
				s.wantLoaded(t, fmt.Sprint(i), "v")
				s.wantFailed(t, "k")
			}
			if s.store.Stats().BreakerOpened == 0 {
				t.Error("the breaker stayed closed")
			}
		})
	}
}

func TestWrongPassword(t *testing.T) {
	server := redistest.Start(t)
	fill(t, server, "k")
	if err := server.Client().Do(t.Context(), "acl", "setuser", "app", "on", ">secret", "~*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	stores := map[string]*redis.Store{
		"Open": open(t, "redis://app:wrong@"+server.Addr(), redis.Options{}),
		"New":  borrow(t, goredis.NewClient(&goredis.Options{Addr: server.Addr(), Username: "app", Password: "wrong"}), redis.Options{}),
	}
	for with, store := range stores {
		t.Run(with, func(t *testing.T) {
			s := suffer(t, store)
			checkServed(t, s, server, "k")
			for i := range 5 {
				s.wantLoaded(t, fmt.Sprint(i), "v")
			}
			if !store.Stats().BreakerOpen {
				t.Error("the breaker is closed")
			}
		})
	}
}
