package redis_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// go-redis reports each failed dial on standard error, and here most dials fail. The
// process whose lines are counted is an exception.
func init() {
	if os.Getenv(quietClient) == "" {
		goredis.SetLogger(silence{})
	}
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

const (
	loadTakes = time.Millisecond

	// hiccup is what the scheduler of a busy machine may add to one call. What is
	// measured against it costs seconds where the budget does not hold.
	hiccup = 100 * time.Millisecond
)

// sufferer is an instance, with a cache and a Store of its own, whose Redis is ill.
type sufferer struct {
	*cache.Cache[string, string]
	store *redis.Store
}

func suffer(t *testing.T, store *redis.Store, change ...func(*cache.Options[string, string])) *sufferer {
	t.Helper()
	o := cache.Options[string, string]{Name: "ill", TTL: time.Hour, Remote: store}
	for _, f := range change {
		f(&o)
	}
	c, err := cache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &sufferer{c, store}
}

// recorded waits until the first fill of suffer's cache has also recorded the position
// of its tags, which it does in the background.
func recorded(t *testing.T, server *redistest.Server) {
	t.Helper()
	redistest.Eventually(t, 5*time.Second, "the position of the cache is recorded", func() bool {
		return recordedPosition.MatchString(server.Client().Get(t.Context(), "nearside:ill::").Val())
	})
	redistest.Eventually(t, 5*time.Second, "nobody looks at that any more", func() bool {
		server.ResetCommands()
		<-time.After(20 * time.Millisecond)
		return commands(server)["get"] == 0
	})
}

// loads returns a loader of value that takes a millisecond.
func loads(value string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) {
		<-time.After(loadTakes)
		return value, nil
	}
}

// wantLoaded reads key, whose source holds value, and wants value in time.
func (s *sufferer) wantLoaded(t *testing.T, key, value string) {
	t.Helper()
	start := time.Now()
	v, err := s.GetOrLoad(t.Context(), key, loads(value))
	if err != nil || v != value {
		t.Errorf("GetOrLoad(%s) = %q, %v; want %q", key, v, err, value)
	}
	within(t, start, s.store.Budget()+loadTakes+hiccup, "GetOrLoad")
}

func within(t *testing.T, start time.Time, limit time.Duration, what string) {
	t.Helper()
	if took := time.Since(start); took > limit {
		t.Errorf("%s took %v, want at most %v", what, took, limit)
	}
}

// A makeStore makes a Store for the server at addr, with one kind of client.
type makeStore func(t *testing.T, addr string, o redis.Options) *redis.Store

func opened(t *testing.T, addr string, o redis.Options) *redis.Store {
	t.Helper()
	return open(t, "redis://"+addr, o)
}

func borrowed(t *testing.T, addr string, o redis.Options) *redis.Store {
	t.Helper()
	return borrow(t, goredis.NewClient(&goredis.Options{Addr: addr}), o)
}

func borrowedCluster(t *testing.T, addr string, o redis.Options) *redis.Store {
	t.Helper()
	return borrow(t, goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{addr}}), o)
}

func borrow(t *testing.T, client goredis.UniversalClient, o redis.Options) *redis.Store {
	t.Helper()
	t.Cleanup(func() { _ = client.Close() })
	s, err := redis.New(client, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var (
	makers      = map[string]makeStore{"Open": opened, "New": borrowed}
	makersToo   = map[string]makeStore{"Open": opened, "New": borrowed, "NewOfCluster": borrowedCluster}
	neverServed = map[string]func(testing.TB) string{"refuses": redistest.Refused, "hangs": redistest.Blackhole}
)

// illInstances are instances of every kind of client, each with a Redis that is
// ill in one of three ways.
func illInstances(t *testing.T) map[string]*sufferer {
	t.Helper()
	all := make(map[string]*sufferer)
	for how, address := range neverServed {
		addr := address(t)
		for with, store := range makersToo {
			all[how+", "+with] = suffer(t, store(t, addr, redis.Options{}))
		}
	}
	server := redistest.Start(t)
	for with, store := range makers {
		s := suffer(t, store(t, server.Addr(), redis.Options{}))
		s.wantLoaded(t, "a connection in the pool", "v")
		all["stops, "+with] = s
	}
	server.Pause()
	return all
}

func TestReadsCostNothingButTheLoadWhileRedisIsIll(t *testing.T) {
	var readers sync.WaitGroup
	for name, s := range illInstances(t) {
		readers.Go(func() {
			stall := bystander()
			took := readMany(t, s, "k", 1000)
			judge(t, name, took, 2*time.Millisecond, stall())
			checkCounts(t, s)
		})
	}
	readers.Wait()
}

func TestReadsOfACrowdCostNothingButTheLoadWhileRedisIsIll(t *testing.T) {
	for name, s := range illInstances(t) {
		// One crowd after the other: together they would wait for processors.
		stall := bystander()
		took := readCrowd(t, s)
		judge(t, name+", 8 goroutines", took, 5*time.Millisecond, stall())
		checkCounts(t, s)
	}
}

func checkCounts(t *testing.T, s *sufferer) {
	t.Helper()
	if n := s.Stats().CorruptRecords; n != 0 {
		t.Errorf("%d records are said to be corrupt, though Redis said nothing", n)
	}
	if !s.store.Stats().BreakerOpen {
		t.Error("the breaker is closed")
	}
}

func readCrowd(t *testing.T, s *sufferer) []time.Duration {
	t.Helper()
	took := make([][]time.Duration, 8)
	var readers sync.WaitGroup
	for i := range took {
		readers.Go(func() { took[i] = readMany(t, s, fmt.Sprintf("crowd-%d", i), 125) })
	}
	readers.Wait()
	return slices.Concat(took...)
}

// readMany reads n keys that nobody has read and returns what each read took.
func readMany(t *testing.T, s *sufferer, name string, n int) []time.Duration {
	took := make([]time.Duration, n)
	for i := range took {
		key := fmt.Sprintf("%s-%d", name, i)
		start := time.Now()
		v, err := s.GetOrLoad(t.Context(), key, loads(key))
		took[i] = time.Since(start)
		if err != nil || v != key {
			t.Errorf("GetOrLoad(%s) = %q, %v", key, v, err)
		}
	}
	return took
}

// bystander does nothing but sleep for a millisecond at a time, and says in the end
// by how much it overslept at worst: for so long the machine ran nobody.
func bystander() (stall func() time.Duration) {
	end, worst := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		var most time.Duration
		for {
			start := time.Now()
			select {
			case <-time.After(time.Millisecond):
				most = max(most, time.Since(start)-time.Millisecond)
			case <-end:
				worst <- most
				return
			}
		}
	}()
	return func() time.Duration {
		close(end)
		return <-worst
	}
}

// judge prints the worst and the median of what reads took, and wants the worst
// within the budget, stalls of the machine apart, and the median no more than over
// above the load.
func judge(t *testing.T, readers string, took []time.Duration, over, stall time.Duration) {
	t.Helper()
	worst := slices.Max(took)
	later := slices.Sorted(slices.Values(took[10:]))
	median := later[len(later)/2]
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	t.Logf("%s: worst %v, median after the first ten %v; the machine stalled for %v", readers, round(worst), round(median), round(stall))
	if limit := redis.DefaultTimeout + loadTakes + hiccup + stall; worst > limit {
		t.Errorf("%s: the worst read took %v, want at most %v", readers, worst, limit)
	}
	if limit := loadTakes + over; median > limit {
		t.Errorf("%s: the median of the later reads is %v, want at most %v", readers, median, limit)
	}
}

func TestARedisThatIsDeadAtTheStartHealsByItself(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			server.Kill()
			s := suffer(t, store(t, server.Addr(), redis.Options{}))
			for i := range 10 {
				s.wantLoaded(t, fmt.Sprint("early-", i), "v")
			}
			server.Restart()
			n := 0
			redistest.Eventually(t, 10*time.Second, "what is loaded reaches Redis again", func() bool {
				n++
				key := fmt.Sprint("late-", n)
				s.wantLoaded(t, key, "v")
				return server.Client().Exists(t.Context(), "nearside:ill:0:"+key).Val() == 1
			})
		})
	}
}
