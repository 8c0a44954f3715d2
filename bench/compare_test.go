package bench_test

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// The two sides of a comparison take turns: often, because a machine is fast in
// one moment and slow in the next, but with enough calls to a turn to be timed.
const (
	minTurns = 21
	maxTurns = 501
	perTurn  = 64 // calls for each goroutine
)

// compare runs ours and bare in turns, b.N times each in all, on so many
// goroutines, and reports the median of the turns' ratios, nanoseconds for one
// call of each, and what one call of ours allocates.
func compare(b *testing.B, goroutines int, ours, bare func(i int)) {
	b.Helper()
	b.ResetTimer() // so that b.N does not shrink with the time that a server takes to start
	turns := min(max(b.N/(perTurn*goroutines), minTurns), maxTurns)
	each := max(b.N/turns, goroutines)
	share(goroutines, each, bare)
	allocs := allocations(each, func() { share(goroutines, each, ours) })
	var ratios, oursTook, bareTook []float64
	for range turns {
		o, r := share(goroutines, each, ours), share(goroutines, each, bare)
		ratios = append(ratios, o/r)
		oursTook = append(oursTook, o)
		bareTook = append(bareTook, r)
	}
	b.ReportMetric(0, "ns/op") // of both sides together, which says nothing
	b.ReportMetric(median(ratios), "x-bare")
	b.ReportMetric(median(oursTook), "ns/call")
	b.ReportMetric(median(bareTook), "ns/bare-call")
	b.ReportMetric(allocs, "allocs/call")
}

// allocations returns how many f makes for each of n calls.
func allocations(n int, f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

// share spreads n calls over the goroutines and returns nanoseconds per call.
func share(goroutines, n int, call func(i int)) float64 {
	start := time.Now()
	if goroutines == 1 {
		for i := range n {
			call(i)
		}
		return float64(time.Since(start)) / float64(n)
	}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := g; i < n; i += goroutines {
				call(i)
			}
		})
	}
	wg.Wait()
	return float64(time.Since(start)) / float64(n)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
