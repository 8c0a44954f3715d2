package peers_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/maypok86/otter/v2"

	"github.com/nearside-go/nearside/cache"
	nearlocal "github.com/nearside-go/nearside/local"
)

const (
	costReaders = 8
	costKeys    = 10_000 // as many keys of a mean cost as MaxCost has room for
	mostCost    = 100
	maxCost     = costKeys * (mostCost + 1) / 2
)

// costOf is 1 to mostCost, in no order.
func costOf(key int) int64 { return int64(uint64(key)*0x9E3779B97F4A7C15>>32)%mostCost + 1 }

// costed are caches of maxCost. A read that misses adds the key. Nearside reports its cost.
var costed = []struct {
	name string
	open func(t *testing.T) (hit func(key int) bool, cost func() int64)
}{
	{"otter", costedOtter},
	{"theine", costedTheine},
	{"nearside", costedNear(nearlocal.Options{})},
	{"nearside, TwoQueue", costedNear(nearlocal.Options{Policy: nearlocal.TwoQueue})},
}

// costs returns a table of the caches with a bound on cost, each read by several goroutines.
func costs(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| costs of 1 to 100, 8 goroutines |")
	for _, c := range costed {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString(" most cost of nearside |\n|---|---|" + strings.Repeat("---|", len(costed)) + "\n")
	for _, tr := range []trace{
		{"zipf 0.99, 10 times as many keys", func(capacity int) []int { return zipf(0.99, 10*capacity) }},
		{"zipf 0.99, and scans of twice the capacity, a tenth of the reads", scans},
	} {
		reads := tr.make(costKeys)
		fmt.Fprintf(&b, "| %s |", tr.name)
		var most int64
		for _, c := range costed {
			hit, cost := c.open(t)
			ratio, largest := readSideBySide(hit, cost, reads)
			fmt.Fprintf(&b, " %.1f |", 100*ratio)
			if cost != nil {
				mustKeepTo(t, largest, cost())
				most = max(most, largest)
			}
		}
		fmt.Fprintf(&b, " %.2f%% of MaxCost |\n", 100*float64(most)/maxCost)
	}
	return b.String()
}

// mustKeepTo checks the promise of Options.MaxCost: additions under way exceed the limit by one
// entry each, and then it holds.
func mustKeepTo(t *testing.T, most, atRest int64) {
	t.Helper()
	if most > maxCost+costReaders*mostCost || atRest > maxCost {
		t.Errorf("a cost of %d, and of %d at rest, with a limit of %d", most, atRest, maxCost)
	}
}

// readSideBySide returns the ratio of hits, and the largest cost that was seen.
func readSideBySide(hit func(int) bool, cost func() int64, reads []int) (ratio float64, most int64) {
	const costEvery = 64 // misses
	var hits atomic.Int64
	largest := make([]int64, costReaders)
	var readers sync.WaitGroup
	for r := range costReaders {
		readers.Go(func() {
			misses := 0
			for i := r; i < len(reads); i += costReaders {
				if hit(reads[i]) {
					hits.Add(1)
				} else if misses++; cost != nil && misses%costEvery == 0 {
					largest[r] = max(largest[r], cost())
				}
			}
		})
	}
	readers.Wait()
	return float64(hits.Load()) / float64(len(reads)), slices.Max(largest)
}

func costedOtter(t *testing.T) (func(int) bool, func() int64) {
	c, err := otter.New(&otter.Options[int, int]{
		MaximumWeight: maxCost, Weigher: func(key, _ int) uint32 { return uint32(costOf(key)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(key int) bool {
		if _, ok := c.GetIfPresent(key); ok {
			return true
		}
		c.Set(key, key)
		return false
	}, nil
}

func costedTheine(t *testing.T) (func(int) bool, func() int64) {
	c, err := theine.NewBuilder[int, int](maxCost).Build()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return func(key int) bool {
		if _, ok := c.Get(key); ok {
			return true
		}
		c.Set(key, key, costOf(key))
		return false
	}, nil
}

// costedNear reads through a cache with Options.Cost.
func costedNear(o nearlocal.Options) func(*testing.T) (func(int) bool, func() int64) {
	return func(t *testing.T) (func(int) bool, func() int64) {
		o.MaxEntries, o.MaxCost = 10*costKeys, maxCost
		c, err := cache.New(cache.Options[int, int]{
			Name: "costs", TTL: time.Hour, Local: o, Cost: func(key, _ int) int64 { return costOf(key) },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return func(key int) bool {
			hit := true
			_, err := c.GetOrLoad(context.Background(), key, func(_ context.Context, key int) (int, error) {
				hit = false
				return key, nil
			})
			return err == nil && hit
		}, func() int64 { return c.Stats().LocalCost }
	}
}
