package redis_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

var deliveries = flag.Int("deliveries", 50, "how many invalidations TestDeliveryTime measures in each fleet")

// A fleet of n Stores, each with a connection of its own for the log, of which one
// invalidates what all hold. It prints how long after the return of Invalidate the
// others have dropped their copies, and what an invalidation costs Redis. Not parallel:
// the times are worth reporting only if nothing else runs.
//
//	go test ./redis -run DeliveryTime -v -deliveries 5000
func TestDeliveryTime(t *testing.T) {
	for _, n := range []int{2, 10, 50} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { measureDelivery(t, n) })
	}
}

func measureDelivery(t *testing.T, n int) {
	server := redistest.Start(t)
	a := join(t, server, redis.Options{}, cache.Options[string, string]{})
	told := make(chan time.Time, n)
	others := make([]*cache.Cache[string, string], n-1)
	for i := range others {
		others[i] = join(t, server, redis.Options{}, cache.Options[string, string]{Trace: &cache.Trace{
			Invalidated: func(context.Context, cache.InvalidatedInfo) { told <- time.Now() },
		}})
	}
	var each, last []time.Duration // of each other instance, and of the slowest
	for range *deliveries {
		wantLoad(t, a, "k", "v")
		for _, b := range others {
			wantGet(t, b, "k", "v")
		}
		if err := a.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		returned := time.Now()
		slowest := time.Duration(0)
		for range others {
			select {
			case at := <-told:
				took := max(at.Sub(returned), 0)
				each, slowest = append(each, took), max(slowest, took)
			case <-time.After(soon):
				t.Fatal("an instance was not told")
			}
		}
		last = append(last, slowest)
		for _, b := range others {
			wantMiss(t, b, "k")
		}
	}
	cost := costOf(t, server, *deliveries, func() {
		if err := a.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		for range others {
			<-told
		}
	})
	median, p99 := quantiles(each)
	slowMedian, slowP99 := quantiles(last)
	t.Logf("%d Stores, %d invalidations: each other instance after %v (median) and %v (p99), the last of all after %v and %v; an invalidation costs Redis%s",
		n, *deliveries, median, p99, slowMedian, slowP99, cost)
}

// costOf says which commands Redis carries out each time that something is done n times,
// and how long that takes it, by INFO commandstats.
func costOf(t *testing.T, server *redistest.Server, n int, do func()) string {
	t.Helper()
	server.ResetCommands()
	for range n {
		do()
	}
	info, err := server.Client().Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	var costs []string
	total := 0.0
	for line := range strings.Lines(info) {
		var calls, usec float64
		name, stats, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":")
		if _, err := fmt.Sscanf(stats, "calls=%f,usec=%f", &calls, &usec); !ok || err != nil || calls < float64(n)/10 {
			continue
		}
		costs = append(costs, fmt.Sprintf(" %.1f %s (%.1f us)", calls/float64(n), name, usec/float64(n)))
		if name != "get" && name != "unlink" { // whose time is that of the script
			total += usec / float64(n)
		}
	}
	slices.Sort(costs)
	return fmt.Sprintf(" %.0f us:%s", total, strings.Join(costs, ","))
}

func quantiles(d []time.Duration) (median, p99 time.Duration) {
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))].Round(time.Microsecond) }
	return at(0.5), at(0.99)
}
