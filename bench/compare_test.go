package bench_test

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// turns is how often the two sides of a comparison take turns.
const turns = 21

// compare runs ours and bare in turns, b.N times each in all, on so many
// goroutines, and reports the median of the turns' ratios, nanoseconds for one
// call of each, and what one call of ours allocates.
func compare(b *testing.B, goroutines int, ours, bare func(i int)) {
	b.Helper()
	each := max(b.N/turns, goroutines)
	warm := max(each/10, 1)
	share(goroutines, warm, ours)
	share(goroutines, warm, bare)
	var ratios, oursTook, bareTook []float64
	var mallocs uint64
	for range turns {
		before := allocated()
		o := share(goroutines, each, ours)
		mallocs += allocated() - before
		r := share(goroutines, each, bare)
		ratios = append(ratios, o/r)
		oursTook = append(oursTook, o)
		bareTook = append(bareTook, r)
	}
	b.ReportMetric(0, "ns/op") // of both sides together, which says nothing
	b.ReportMetric(median(ratios), "x-bare")
	b.ReportMetric(median(oursTook), "ns/call")
	b.ReportMetric(median(bareTook), "ns/bare-call")
	b.ReportMetric(float64(mallocs)/float64(turns*each), "allocs/call")
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

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
