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

	// hiccup is what the scheduler of a busy machine may add to one call, without any
	// stall of the process. What is measured against it costs seconds where the budget
	// does not hold.
	hiccup = 800 * time.Millisecond
)

// sendable is a budget in which a command is sent, if it gets no answer, also by a process
// that stalls in between.
const sendable = 500 * time.Millisecond

// caughtUp waits until a server that was paused has executed what clients had sent it. It
// reads its connections in turn, and new ones a turn after it has accepted them.
func caughtUp(t *testing.T, server *redistest.Server) {
	t.Helper()
	for range 10 {
		if err := server.Client().Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

const away = 250 * time.Millisecond

// stalls is the control of all tests that measure times.
var stalls = redistest.WatchStalls()

// took returns the time since start, without what the machine was away for.
func took(start time.Time) time.Duration { return ran(start, time.Now()) }

// ran is took for a measurement that is over.
func ran(start, end time.Time) time.Duration {
	lost, _ := stalls.Since(start)
	return end.Sub(start) - lost
}

// calm reports whether the machine was away for less than limit at a time since start, so
// that a test may want what only a shorter stall leaves alone.
func calm(t *testing.T, start time.Time, limit time.Duration) bool {
	t.Helper()
	_, worst := stalls.Since(start)
	if worst >= limit {
		t.Logf("the machine stalled for %v: what needs less than %v is not judged", worst, limit)
	}
	return worst < limit
}

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

// warm makes the sufferer fill, whose Redis is well: then it has connections, Redis has the
// scripts, and what the first fill records of tags in the background need not be recorded
// for a while. It returns when nothing is under way any more. How long that takes is the
// machine's affair.
func (s *sufferer) warm(t *testing.T) {
	t.Helper()
	selfTested(t, s.store)
	n := 0
	redistest.Eventually(t, 4*soon, "a fill arrives", func() bool { // few do while the machine stalls
		n++
		_, _ = s.GetOrLoad(t.Context(), fmt.Sprint("warm ", n), loads("v"))
		idle(t, s)
		return s.Stats().Fills > 0
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

// within wants no more than limit to have passed since start. A machine that was away for as
// long as away also delays what comes after, and is not judged.
func within(t *testing.T, start time.Time, limit time.Duration, what string) {
	t.Helper()
	if took := took(start); took > limit && calm(t, start, away) {
		t.Errorf("%s took %v without the stalls of the machine, want at most %v", what, took, limit)
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
			took, bare := readMany(t, s, "k", 1000)
			judge(t, name, took, bare, 2*time.Millisecond)
			checkCounts(t, s)
		})
	}
	readers.Wait()
}

func TestReadsOfACrowdCostNothingButTheLoadWhileRedisIsIll(t *testing.T) {
	for name, s := range illInstances(t) {
		// One crowd after the other: together they would wait for processors.
		took, bare := readCrowd(t, s)
		judge(t, name+", 8 goroutines", took, bare, 5*time.Millisecond)
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

func readCrowd(t *testing.T, s *sufferer) (took, bare []time.Duration) {
	t.Helper()
	const readers = 8
	tooks, bares := make([][]time.Duration, readers), make([][]time.Duration, readers)
	var running sync.WaitGroup
	for i := range readers {
		running.Go(func() { tooks[i], bares[i] = readMany(t, s, fmt.Sprintf("crowd-%d", i), 125) })
	}
	running.Wait()
	return slices.Concat(tooks...), slices.Concat(bares...)
}

// readMany reads n keys that nobody has read and returns what each read took, and what as
// many bare loads took in between: the control, which waits for the same processors.
func readMany(t *testing.T, s *sufferer, name string, n int) (took, bare []time.Duration) {
	took, bare = make([]time.Duration, n), make([]time.Duration, n)
	for i := range took {
		key := fmt.Sprintf("%s-%d", name, i)
		start := time.Now()
		v, err := s.GetOrLoad(t.Context(), key, loads(key))
		took[i] = time.Since(start)
		if err != nil || v != key {
			t.Errorf("GetOrLoad(%s) = %q, %v", key, v, err)
		}
		start = time.Now()
		_, _ = loads(key)(t.Context(), key)
		bare[i] = time.Since(start)
	}
	return took, bare
}

// judge prints the worst and the median of what reads took, and of bare loads beside them.
// It wants the worst within the budget, and the median no more than over above a load. A
// budget that is paid by each read is ten times that. What the machine adds to one read is
// bounded by the worst of its stalls, and what it adds to most by the median of the bare
// loads.
func judge(t *testing.T, readers string, took, bare []time.Duration, over time.Duration) {
	t.Helper()
	_, stall := stalls.Since(time.Now().Add(-sum(took) - sum(bare)))
	worst, slowest := slices.Max(took), slices.Max(bare)
	median, load := middle(took[10:]), middle(bare)
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	t.Logf("%s: worst %v, median after the first ten %v; bare loads: worst %v, median %v; the machine stalled for %v",
		readers, round(worst), round(median), round(slowest), round(load), round(stall))
	if limit := redis.DefaultTimeout + hiccup + slowest + stall; worst > limit {
		t.Errorf("%s: the worst read took %v, want at most %v", readers, worst, limit)
	}
	if limit := 2*load + over; median > limit {
		t.Errorf("%s: the median of the later reads is %v, want at most %v", readers, median, limit)
	}
}

func middle(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

func sum(d []time.Duration) (all time.Duration) {
	for _, one := range d {
		all += one
	}
	return all
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
			redistest.Eventually(t, soon, "what is loaded reaches Redis again", func() bool {
				n++
				key := fmt.Sprint("late-", n)
				s.wantLoaded(t, key, "v")
				return server.Client().Exists(t.Context(), "nearside:ill:0:"+key).Val() == 1
			})
		})
	}
}
