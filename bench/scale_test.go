package bench_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/document"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

var (
	scale = flag.Bool("scale", false, "measure how the work of Redis grows with the fleet")
	docs  = flag.String("docs", "", "a document whose tables are replaced")
)

// TestScale measures the processor time of Redis, which a fleet shares: Redis carries out all
// commands on one processor. Processor time depends little on the other load of the machine.
func TestScale(t *testing.T) {
	if !*scale {
		t.Skip("no measurement without -scale")
	}
	text := strings.Join([]string{fleets(t), callersOf(t), recordsOf(t)}, "\n")
	t.Logf("\n%s", text)
	if *docs != "" {
		if err := document.Write(*docs, "scale", text); err != nil {
			t.Error(err)
		}
	}
}

// worked is the work of a Redis: processor time and commands.
type worked struct {
	cpu      time.Duration
	commands int64
}

func workOf(t *testing.T, server *redistest.Server) worked {
	t.Helper()
	info := server.Client().InfoMap(t.Context(), "cpu", "stats")
	if err := info.Err(); err != nil {
		t.Fatal(err)
	}
	number := func(section, key string) float64 {
		n, err := strconv.ParseFloat(info.Item(section, key), 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	seconds := number("CPU", "used_cpu_user_main_thread") + number("CPU", "used_cpu_sys_main_thread")
	return worked{time.Duration(seconds * float64(time.Second)), int64(number("Stats", "total_commands_processed"))}
}

// since returns the work since before.
func (w worked) since(before worked) worked {
	return worked{w.cpu - before.cpu, w.commands - before.commands}
}

// each returns the processor time for each of n calls, in microseconds.
func (w worked) each(n int) string {
	return fmt.Sprintf("%.1f", float64(w.cpu)/float64(time.Microsecond)/float64(n))
}

// fleet are instances on one Redis. The first one writes, and the last one notes how long each
// invalidation has taken to reach it.
type fleet struct {
	caches []*cache.Cache[string, user]

	mu   sync.Mutex // guards all below
	sent map[string]time.Time
	took []time.Duration
}

// invalidate invalidates a key through the first instance.
func (f *fleet) invalidate(t *testing.T, key string) {
	f.mu.Lock()
	f.sent[key] = time.Now()
	f.mu.Unlock()
	if err := f.caches[0].Invalidate(t.Context(), key); err != nil {
		t.Error(err)
	}
}

func (f *fleet) noteTold(_ context.Context, i cache.InvalidatedInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, own := f.sent[i.Name]; own {
		f.took = append(f.took, time.Since(at))
	}
}

// delays waits until n invalidations have reached the last instance, and returns how long they
// took, as median and 99th percentile.
func (f *fleet) delays(t *testing.T, n int) string {
	t.Helper()
	redistest.Eventually(t, time.Minute, "the last instance is told of all", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.took) >= n
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.took)
	median, high := f.took[len(f.took)/2], f.took[len(f.took)*99/100]
	f.took = nil
	return fmt.Sprintf("%d / %d", median.Microseconds(), high.Microseconds())
}

func newFleet(t *testing.T, server *redistest.Server, instances int) *fleet {
	t.Helper()
	f := &fleet{sent: make(map[string]time.Time)}
	for i := range instances {
		store, err := redis.Open(server.URL(), redis.Options{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		o := cache.Options[string, user]{Name: "users", TTL: time.Hour, Remote: store}
		if i == instances-1 {
			o.Trace = &cache.Trace{Invalidated: f.noteTold}
		}
		c, err := cache.New(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		f.caches = append(f.caches, c)
	}
	redistest.Eventually(t, time.Minute, "all instances read the log", func() bool {
		for _, c := range f.caches {
			if !c.Stats().LogFollowed {
				return false
			}
		}
		return true
	})
	<-time.After(time.Second) // the self-tests
	return f
}

// fleets is the table of the costs of invalidations by the size of the fleet.
func fleets(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| instances | idle: commands/s, processor | calm: µs of Redis for an invalidation | one instance is told after, median / 99th percentile, µs | busy: invalidations/s | µs of Redis for one | one instance is told after, µs |\n|---|---|---|---|---|---|---|\n")
	for _, instances := range []int{2, 10, 50, 100} {
		t.Run(fmt.Sprint(instances, " instances"), func(t *testing.T) { b.WriteString(fleetOf(t, instances)) })
	}
	return b.String()
}

func fleetOf(t *testing.T, instances int) string {
	server := redistest.Start(t)
	f := newFleet(t, server, instances)
	const idle = 3 * time.Second
	before := workOf(t, server)
	<-time.After(idle)
	silent := workOf(t, server).since(before)

	const rounds, pause = 400, 5 * time.Millisecond
	start, before := time.Now(), workOf(t, server)
	for i := range rounds {
		f.invalidate(t, fmt.Sprint("calm ", i))
		<-time.After(pause)
	}
	calm := workOf(t, server).since(before)
	calm.cpu -= silent.cpu * time.Since(start) / idle
	calmDelays := f.delays(t, rounds)

	const writers, each = 8, 500
	start, before = time.Now(), workOf(t, server)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				f.invalidate(t, fmt.Sprint("busy ", w, " ", i))
			}
		})
	}
	writing.Wait()
	took := time.Since(start)
	busyDelays := f.delays(t, writers*each)
	busy := workOf(t, server).since(before)
	t.Logf("%d commands for an invalidation", busy.commands/(writers*each))
	return fmt.Sprintf("| %d | %.0f, %.1f %% | %s | %s | %.0f | %s | %s |\n", instances,
		float64(silent.commands)/idle.Seconds(), 100*float64(silent.cpu)/float64(idle), calm.each(rounds), calmDelays,
		writers*each/took.Seconds(), busy.each(writers*each), busyDelays)
}

// callersOf is the table of the costs of reads by the number of callers.
func callersOf(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| callers | Redis hits/s | µs of Redis for one | misses/s | µs of Redis for one |\n|---|---|---|---|---|\n")
	for _, callers := range []int{1, 10, 100, 1000, 10_000} {
		t.Run(fmt.Sprint(callers, " callers"), func(t *testing.T) {
			server := redistest.Start(t)
			filler, reader := newFleet(t, server, 1).caches[0], newFleet(t, server, 1).caches[0]
			var next atomic.Int64
			read := func(c *cache.Cache[string, user], prefix string, n int) (worked, time.Duration) {
				next.Store(0)
				before, start := workOf(t, server), time.Now()
				var reading sync.WaitGroup
				for range callers {
					reading.Go(func() {
						for i := next.Add(1); i <= int64(n); i = next.Add(1) {
							if _, err := c.GetOrLoad(t.Context(), prefix+strconv.FormatInt(i, 10), load); err != nil {
								t.Error(err)
							}
						}
					})
				}
				reading.Wait()
				took := time.Since(start)
				redistest.Eventually(t, time.Minute, "nothing goes on in the background", func() bool { return c.Stats().Background == 0 })
				return workOf(t, server).since(before), took
			}
			n := min(20_000, 4000*callers)
			misses, missing := read(filler, "k", n)
			hits, hitting := read(reader, "k", n)
			if loads := reader.Stats().Loads; loads > uint64(n/100) {
				t.Errorf("%d callers: %d of %d hits were loads", callers, loads, n)
			}
			fmt.Fprintf(&b, "| %d | %.0f | %s | %.0f | %s |\n", callers,
				float64(n)/hitting.Seconds(), hits.each(n), float64(n)/missing.Seconds(), misses.each(n))
		})
	}
	return b.String()
}

// recordsOf is the table of the memory of records by their number.
func recordsOf(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| records | bytes of Redis for one, above its key and value |\n|---|---|\n")
	for _, keys := range []int{1000, 10_000, 100_000, 1_000_000} {
		t.Run(fmt.Sprint(keys, " records"), func(t *testing.T) {
			server := redistest.Start(t)
			c := newFleet(t, server, 1).caches[0]
			used := func() int {
				info := server.Client().InfoMap(t.Context(), "memory")
				n, err := strconv.Atoi(info.Item("Memory", "used_memory"))
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			before, size := used(), 0
			for first := 0; first < keys; first += 1000 {
				var some []string
				for i := range 1000 {
					some = append(some, "k"+strconv.Itoa(first+i))
				}
				_, err := c.GetOrLoadMany(t.Context(), some, func(_ context.Context, missing []string) (map[string]user, error) {
					loaded := make(map[string]user, len(missing))
					for _, key := range missing {
						loaded[key] = sample
					}
					return loaded, nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			redistest.Eventually(t, time.Minute, "nothing goes on in the background", func() bool { return c.Stats().Background == 0 })
			for i := range keys {
				size += len("k" + strconv.Itoa(i))
			}
			payload, err := json.Marshal(sample)
			if err != nil {
				t.Fatal(err)
			}
			size += keys * len(payload)
			fmt.Fprintf(&b, "| %d | %d |\n", keys, (used()-before-size)/keys)
		})
	}
	return b.String()
}
