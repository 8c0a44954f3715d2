package redis_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// sentinelURL is a URL of the primary that s watches. More Sentinels may be named before s.
func sentinelURL(s *redistest.Sentinel, before ...string) string {
	addrs := append(before, s.Addr())
	return "redis://" + addrs[0] + "/0?" + url.Values{"master_name": {s.MasterName()}, "addr": addrs[1:]}.Encode()
}

// A Store that Open has made from the address of a Sentinel follows a failover. Close closes its
// connections.
func TestOpenWithASentinelFollowsAFailover(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	sentinel := redistest.StartSentinel(t, primary)
	s, err := redis.Open(sentinelURL(sentinel)+"&client_name=opened", redis.Options{Timeout: patient.Timeout, Prefix: prefix(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := cacheOn(t, s, cache.Options[string, string]{})
	wantLoad(t, c, "k", "before")
	if primary.Client().Exists(t.Context(), record(t, "k")).Val() != 1 {
		t.Error("the value is not on the primary")
	}
	if promoted := sentinel.Failover(); promoted != replica.Addr() {
		t.Fatalf("promoted %s, not the replica %s", promoted, replica.Addr())
	}
	redistest.Eventually(t, soon, "a Set arrives at the promoted server", func() bool {
		return c.Set(t.Context(), "l", "after") == nil && replica.Client().StrLen(t.Context(), record(t, "l")).Val() > 0
	})
	if !strings.Contains(clientList(t, replica), "name=opened") {
		t.Error("the connections have not got the name of the URL")
	}
	if err := c.Close(); err != nil {
		t.Error("Close of the cache:", err)
	}
	if err := s.Close(); err != nil {
		t.Error("Close of the Store:", err)
	}
	redistest.Eventually(t, soon, "the connections are closed", func() bool { return !strings.Contains(clientList(t, replica), "name=opened") })
}

// A Sentinel that is silent, or is gone, costs callers no more than the budget.
func TestOpenWithASentinelThatIsSilent(t *testing.T) {
	t.Parallel()
	sentinel := redistest.StartSentinel(t, redistest.Start(t))
	for name, first := range map[string]string{"silent": redistest.Blackhole(t), "gone": redistest.Refused(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const budget = 50 * time.Millisecond
			s, err := redis.Open(sentinelURL(sentinel, first), redis.Options{Timeout: budget, Prefix: prefix(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			c := suffer(t, s)
			c.wantLoaded(t, "k", "v")
			redistest.Eventually(t, soon, "the other Sentinel is asked", func() bool { return s.Stats().LogFollowing })
		})
		t.Run(name+", and no other", func(t *testing.T) {
			t.Parallel()
			const longest = 200 * time.Millisecond
			s, err := redis.Open("redis://"+first+"?master_name=m", redis.Options{LogTimeout: longest, Prefix: prefix(t)})
			if err != nil {
				t.Fatal(err)
			}
			suffer(t, s).wantLoaded(t, "k", "v")
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			within(t, start, longest+hiccup, "Close")
		})
	}
}
