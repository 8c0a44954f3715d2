package peers_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// failures are the ways in which Redis is away.
var failures = []struct {
	what, plot string
	begin, end func(*redistest.Server)
}{
	{"hangs", "hung.svg", (*redistest.Server).Pause, (*redistest.Server).Resume},
	{"refuses connections", "refused.svg", (*redistest.Server).Kill, (*redistest.Server).Restart},
}

// outages measures calls one after the other while Redis is away.
func outages(t *testing.T, r *report) {
	all := peers.All()
	for _, f := range failures {
		lines := make([]line, len(all))
		t.Run("Redis "+f.what, func(t *testing.T) {
			for i, p := range all {
				lines[i].name = p.Name
				t.Run(p.Name, func(t *testing.T) {
					t.Parallel()
					_, _ = without(t, p, outageCalls, f.begin, f.end,
						func(n int, cost, _ time.Duration) { lines[i].add(float64(n+1), cost.Seconds()*1000) })
				})
			}
		})
		r.plot(t, f.plot, plotted{
			title: "Calls with a deadline of 2 s while Redis " + f.what + ", one after the other",
			x:     "call", y: "ms", least: 0.01, lines: lines,
		})

		first, away, never := besideNoRedis(t, all[0], f.begin, f.end)
		r.target("Redis "+f.what+": the first call", "at most the budget of 50 ms, and the load",
			first.Round(100*time.Microsecond).String(), first <= redis.DefaultTimeout+overhead)
		r.target("Redis "+f.what+", once the breaker is open: the 99th percentile over a load, and that of a cache without Redis, in turns",
			"at most 50 µs more", fmt.Sprintf("%v, %v", tail(away), tail(never)), tail(away) <= tail(never)+50*time.Microsecond)
	}
}

// besideNoRedis returns the time of the first call while Redis is away, the times of calls for
// cold keys once the breaker is open, and the times of the same calls to a cache without Redis, in
// turns.
func besideNoRedis(t *testing.T, p peers.Peer, begin, end func(*redistest.Server)) (first time.Duration, away, never []time.Duration) {
	t.Helper()
	const calls = 20_000
	server, src := redistest.Start(t), &source{}
	i := open(t, p, server, peers.Settings{Load: src.load})
	without, err := cache.New(cache.Options[string, peers.User]{Name: "users", TTL: longTTL})
	if err != nil {
		t.Fatal(err)
	}
	defer without.Close()
	timed := func(call func() error) time.Duration {
		start := time.Now()
		if err := call(); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	key := func(n int) string { return fmt.Sprint("cold-", n) }
	get := func(n int) func() error {
		return func() error { _, err := get(i, key(n)); return err }
	}
	mustGet(t, i, "warm")
	settle()
	begin(server)
	defer end(server)
	first = timed(get(0))
	for n := range redis.DefaultMaxFailures {
		timed(get(1 + n))
	}
	settle()
	for n := range calls {
		away = append(away, timed(get(100+n)))
		never = append(never, timed(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			_, err := without.GetOrLoad(ctx, key(n), src.load)
			return err
		}))
	}
	return first, away, never
}

// tail returns the 99th percentile.
func tail(took []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(took))[len(took)*99/100].Round(time.Microsecond)
}
