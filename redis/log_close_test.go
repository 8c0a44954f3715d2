package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/faultlink"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// closesAtOnce is less than any timeout of the reader, which are a minute here.
const closesAtOnce = 2 * time.Second

// Not parallel, because it looks for goroutines.
func TestCloseEndsAReaderThatWaits(t *testing.T) {
	server := redistest.Start(t)
	link := func(t *testing.T, silent bool) (*faultlink.Link, string) {
		l := lineTo(t, server)
		if silent {
			l.Freeze()
		}
		return l, l.Addr()
	}
	for how, begin := range map[string]func(*testing.T, func(addr string) *redis.Store){
		"for entries": func(t *testing.T, store func(string) *redis.Store) { follows(t, store(server.Addr())) },
		"for a connection that went silent": func(t *testing.T, store func(string) *redis.Store) {
			l, addr := link(t, false)
			follows(t, store(addr))
			l.Freeze()
		},
		"for a greeting": func(t *testing.T, store func(string) *redis.Store) {
			_, addr := link(t, true)
			store(addr)
			<-time.After(20 * time.Millisecond)
		},
		"to try again": func(t *testing.T, store func(string) *redis.Store) {
			store(redistest.Refused(t))
			<-time.After(200 * time.Millisecond) // the waits have become long
		},
	} {
		for with, makeStore := range makersToo {
			if with == "NewOfCluster" && how != "to try again" {
				continue // TestTheLogOfACluster has that
			}
			t.Run(how+"/"+with, func(t *testing.T) {
				var s *redis.Store
				var c *cache.Cache[string, string]
				begin(t, func(addr string) *redis.Store {
					s = makeStore(t, addr, redis.Options{Prefix: prefix(t), LogTimeout: time.Minute})
					c = cacheOn(t, s, cache.Options[string, string]{})
					return s
				})
				redistest.Eventually(t, soon, "the log is being read", func() bool { return strings.Contains(stacks(), "(*partition).read(") })
				wantClosed(t, c, s)
			})
		}
	}
}

func wantClosed(t *testing.T, c *cache.Cache[string, string], s *redis.Store) {
	t.Helper()
	start := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	within(t, start, closesAtOnce, "Close")
	// What a client does not give up is left behind, and ends at the client's own time.
	if strings.Contains(stacks(), "(*partition).read(") {
		t.Error("a reader outlives Close")
	}
	if s.Stats().LogFollowing {
		t.Error("a closed Store says that it reads the log")
	}
}

// A cache that is made and closed leaves nothing that is told, and the reader goes on
// for others.
func TestACacheThatIsClosedIsNotTold(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	other := cache.Options[string, string]{Name: "other"}
	writer := &instance{Cache: cacheOn(t, a.store, other)}
	for range 20 {
		c := cacheOn(t, b.store, other)
		invalidate(t, writer, "k")
		redistest.Eventually(t, soon, "it is told", func() bool { return c.Stats().InvalidationsReceived > 0 })
		_ = c.Close()
		before := c.Stats().InvalidationsReceived
		invalidate(t, writer, "k")
		invalidate(t, a, "k")
		upToDate(t, server, b)
		if n := c.Stats().InvalidationsReceived; n != before {
			t.Fatalf("a closed cache was told of %d invalidations", n-before)
		}
	}
	if n := b.Stats().InvalidationsReceived; n != 20 {
		t.Errorf("the cache beside was told of %d, want 20", n)
	}
	if s := b.store.Stats(); s.LogSessions != 1 {
		t.Errorf("%d sessions, want 1", s.LogSessions)
	}
}
