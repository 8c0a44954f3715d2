package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/internal/redistest"
)

// maxMemory sets the memory that a server with noeviction may use; 1 makes it
// refuse whatever needs more.
func maxMemory(t *testing.T, server *redistest.Server, bytes int) {
	t.Helper()
	if err := server.Client().ConfigSet(t.Context(), "maxmemory", fmt.Sprint(bytes)).Err(); err != nil {
		t.Error(err)
	}
}

func wantNothingStored(t *testing.T, server *redistest.Server, key string) {
	t.Helper()
	if record, err := server.Client().Get(t.Context(), stored(key)).Result(); err == nil {
		t.Errorf("Redis holds %q", record)
	}
}

func TestOutOfMemory(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			fill(t, server, "kept")
			fill(t, server, "k")
			s := suffer(t, store(t, server.Addr(), patient))
			maxMemory(t, server, 1)
			s.wantLoaded(t, "kept", "old") // what Redis holds is served
			if n := s.Stats().RemoteHits; n != 1 {
				t.Errorf("%d hits in Redis, want 1", n)
			}
			checkServed(t, s, server, "k")
			wantNothingStored(t, server, "k")
			if err := s.Invalidate(t.Context(), "kept"); err == nil || !strings.Contains(err.Error(), "OOM") {
				t.Errorf("Invalidate: %v, want OOM: nobody can be told", err)
			}
			wantNothingStored(t, server, "kept") // a delete needs no memory
			if s.store.Stats().BreakerOpened != 0 {
				t.Error("a full Redis, which serves reads, opened the breaker")
			}
			maxMemory(t, server, 0)
			if err := s.Invalidate(t.Context(), "k"); err != nil {
				t.Error("Invalidate:", err)
			}
			idle(t, s) // what was queued may be made again at this moment
			s.wantLoaded(t, "k", "newest")
			idle(t, s)
			if server.Client().Exists(t.Context(), stored("k")).Val() != 1 {
				t.Error("the value is not in Redis, which has memory again")
			}
		})
	}
}

// The lease is granted, and then memory runs out.
func TestOutOfMemoryAtTheFillLeavesNeitherLeaseNorValue(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := suffer(t, store(t, server.Addr(), patient))
			v, err := s.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
				if server.Client().Exists(t.Context(), stored("k")).Val() != 1 {
					t.Error("there is no lease during the load")
				}
				maxMemory(t, server, 1)
				return "v", nil
			})
			if err != nil || v != "v" {
				t.Errorf("GetOrLoad = %q, %v; want v", v, err)
			}
			idle(t, s)
			wantNothingStored(t, server, "k")
			if v, err := s.Get(t.Context(), "k"); err != nil || v != "v" {
				t.Errorf("Get = %q, %v; want the local copy", v, err)
			}
			if st := s.Stats(); st.LocalHits != 1 || st.RemoteErrors != 1 {
				t.Errorf("%d local hits and %d remote errors, want 1 of each", st.LocalHits, st.RemoteErrors)
			}
		})
	}
}

func TestSetIntoARedisOutOfMemoryLeavesNoOldValue(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			fill(t, server, "k")
			s := suffer(t, store(t, server.Addr(), patient))
			maxMemory(t, server, 1)
			if err := s.Set(t.Context(), "k", "new"); err == nil {
				t.Error("Set: no error, though Redis is full")
			}
			wantNothingStored(t, server, "k")
			s.wantLoaded(t, "k", "newer")
		})
	}
}
