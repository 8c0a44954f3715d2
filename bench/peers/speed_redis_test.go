package peers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/codec/cbor"
	"github.com/nearside-go/nearside/internal/redistest"
)

// The clients beneath the libraries.
const (
	goRedis     = "go-redis"
	rueidisName = "rueidis"
)

// remote is a library, or a bare client, with a Redis of its own.
type remote struct {
	name   string
	server *redistest.Server
	get    func(ctx context.Context, key string) error // loads, and stores what is not there
}

// remotes returns all libraries without a local tier, and bare clients that get, decode, load,
// encode and set by themselves. The first is go-redis.
func remotes(t *testing.T, value peers.User) []remote {
	load := func(context.Context, string) (peers.User, error) { return value, nil }
	plain, quick := redistest.Start(t), redistest.Start(t)
	all := []remote{{goRedis, plain, bareGoRedis(t, plain, load)}, {rueidisName, quick, bareRueidis(t, quick, load)}}
	for _, p := range append(peers.All(), peers.WithCodec("nearside, CBOR", cbor.Codec[peers.User]{})) {
		server := redistest.Start(t)
		i := open(t, p, server, peers.Settings{Load: load, NoLocal: true})
		all = append(all, remote{p.Name, server, func(ctx context.Context, key string) error {
			_, err := i.Get(ctx, key)
			return err
		}})
	}
	return all
}

type loadFunc = func(context.Context, string) (peers.User, error)

func dialGoRedis(t *testing.T, server *redistest.Server) *goredis.Client {
	options, err := goredis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func bareGoRedis(t *testing.T, server *redistest.Server, load loadFunc) func(context.Context, string) error {
	client := dialGoRedis(t, server)
	return func(ctx context.Context, key string) error {
		data, err := client.Get(ctx, key).Bytes()
		if err == goredis.Nil {
			return loadAnd(ctx, key, load, func(data []byte) error { return client.Set(ctx, key, data, longTTL).Err() })
		}
		return decode(data, err)
	}
}

func bareRueidis(t *testing.T, server *redistest.Server, load loadFunc) func(context.Context, string) error {
	options, err := rueidis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	options.DisableCache = true
	client, err := rueidis.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return func(ctx context.Context, key string) error {
		data, err := client.Do(ctx, client.B().Get().Key(key).Build()).AsBytes()
		if rueidis.IsRedisNil(err) {
			return loadAnd(ctx, key, load, func(data []byte) error {
				set := client.B().Set().Key(key).Value(rueidis.BinaryString(data)).Ex(longTTL).Build()
				return client.Do(ctx, set).Error()
			})
		}
		return decode(data, err)
	}
}

func loadAnd(ctx context.Context, key string, load loadFunc, set func([]byte) error) error {
	u, err := load(ctx, key)
	if err != nil {
		return err
	}
	data, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return set(data)
}

func decode(data []byte, err error) error {
	var u peers.User
	if err == nil {
		err = json.Unmarshal(data, &u)
	}
	return err
}

func large(size int) peers.User {
	u := sample
	u.Text = strings.Repeat("0123456789", size/10)
	return u
}

// redisHits measures reads of keys that only Redis has.
func redisHits(t *testing.T, r *report) {
	for _, size := range []int{0, 10_000, 100_000} {
		all, ks := remotes(t, large(size)), keys()
		var calls []*timed
		ctx := context.Background()
		for _, c := range all {
			for _, key := range ks {
				if err := c.get(ctx, key); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
			}
			calls = append(calls, &timed{name: c.name, call: func(i int) error { return c.get(ctx, ks[i&(hitKeys-1)]) }})
		}
		settle()
		plottedLines := make([]line, len(calls))
		for _, goroutines := range []int{1, 4, 16, 64} {
			inTurns(t, goroutines, calls)
			for i, c := range calls {
				plottedLines[i].name = c.name
				plottedLines[i].add(float64(goroutines), median(c.ns)/1000)
			}
			what := fmt.Sprintf("Redis hit, %s, %s", sizeName(size), by(goroutines))
			ratios := find(calls, peers.Nearside).over(calls[0])
			if goroutines == 1 || goroutines == 64 {
				r.row(what, calls)
			}
			if size == 0 && goroutines == 1 {
				r.target(what, "at most 1.05 times a GET of go-redis, decoded", spread(ratios), median(ratios) <= 1.05)
			}
			if size == 0 && goroutines == 64 {
				r.target(what, "at most 0.6 times the same", spread(ratios), median(ratios) <= 0.6)
			}
		}
		if size == 0 {
			r.plot(t, "redis-hit.svg", plotted{title: "A Redis hit, value of 130 B", x: "goroutines", y: "µs", logX: true, falls: true, lines: plottedLines})
		}
	}
}

func sizeName(size int) string {
	if size == 0 {
		return "130 B"
	}
	return strconv.Itoa(size/1000) + " kB"
}

// redisCPU measures the processor time of Redis for a hit.
func redisCPU(t *testing.T, r *report) {
	all, ks := remotes(t, sample), keys()
	bare, near := all[0], all[2]
	ctx := context.Background()
	const calls = 20_000
	var each [2][]float64
	for range turns {
		for i, c := range []remote{bare, near} {
			for _, key := range ks {
				if err := c.get(ctx, key); err != nil {
					t.Fatal(err)
				}
			}
			before := busy(t, c.server)
			for n := range calls {
				if err := c.get(ctx, ks[n&(hitKeys-1)]); err != nil {
					t.Fatal(err)
				}
			}
			each[i] = append(each[i], (busy(t, c.server)-before)/calls)
		}
	}
	var ratios []float64
	for i := range each[0] {
		ratios = append(ratios, each[1][i]/each[0][i])
	}
	r.target("processor time of Redis for a hit", "at most 1.5 times a GET", spread(ratios), median(ratios) <= 1.5)
}

// busy returns the seconds that Redis has used of the processor.
func busy(t *testing.T, server *redistest.Server) float64 {
	t.Helper()
	info, err := server.Client().InfoMap(t.Context(), "cpu").Result()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, of := range []string{"used_cpu_sys", "used_cpu_user"} {
		seconds, err := strconv.ParseFloat(info["CPU"][of], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += seconds
	}
	return sum
}

// misses measures reads of keys that nobody has, whose load takes no time.
func misses(t *testing.T, r *report) {
	ctx := context.Background()
	var calls []*timed
	for _, c := range remotes(t, sample) {
		var n atomic.Int64
		calls = append(calls, &timed{name: c.name, call: func(int) error {
			return c.get(ctx, "cold:"+strconv.FormatInt(n.Add(1), 10))
		}})
	}
	for _, goroutines := range []int{1, 64} {
		inTurns(t, goroutines, calls)
		what := "miss, " + by(goroutines)
		r.row(what, calls)
		if ratios := find(calls, peers.Nearside).over(calls[0]); goroutines == 1 {
			r.target(what, "at most 1.5 times GET, load and SET", spread(ratios), median(ratios) <= 1.5)
		}
	}
}

// stampedeWaits measures how long callers of many instances wait for a cold key.
func stampedeWaits(t *testing.T, r *report) {
	var lines []line
	for _, p := range peers.All() {
		loads, waits := stampedes(t, p)
		slices.Sort(waits)
		l := line{name: p.Name}
		for percent := range 101 {
			l.add(float64(percent), waits[(len(waits)-1)*percent/100].Seconds()*1000)
		}
		lines = append(lines, l)
		if p.Name == peers.Nearside {
			middle, worst := median(waits), waits[len(waits)-1]
			r.target(fmt.Sprintf("one cold key, %d instances x %d callers, a load of %v", instances, callers, loadTime),
				"1 load; median wait at most 55 ms, worst 60 ms",
				fmt.Sprintf("%d load; %v, %v", slices.Max(loads), middle.Round(100*time.Microsecond), worst.Round(100*time.Microsecond)),
				slices.Max(loads) == 1 && middle <= 55*time.Millisecond && worst <= 60*time.Millisecond)
		}
	}
	r.plot(t, "stampede.svg", plotted{
		title: "800 callers wait for a cold key, whose load takes 50 ms", x: "percent of the callers", y: "ms", lines: lines,
	})
}
