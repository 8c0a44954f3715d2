package peers_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	traceReads = 1_000_000
	traceSeed  = 20261126
	shiftEvery = 100_000 // reads
)

// trace is an order in which a cache of a capacity is read. Keys are integers.
type trace struct {
	name string
	make func(capacity int) []int
}

func traces() []trace {
	var all []trace
	for _, times := range []int{10, 100} {
		for _, s := range []float64{0.8, 0.99, 1.1} {
			all = append(all, trace{fmt.Sprintf("zipf %v, %d times as many keys", s, times), func(capacity int) []int {
				return zipf(s, times*capacity)
			}})
		}
	}
	return append(all,
		trace{"zipf 0.99, and scans of twice the capacity, a tenth of the reads", scans},
		trace{fmt.Sprintf("zipf 0.99, other hot keys after each %d reads", shiftEvery), shifts},
		trace{"a loop over 1.1 times the capacity", loop},
		trace{"new keys, each read twice, half the capacity apart", twice},
	)
}

// zipf draws each of the keys from 0 on with a probability in proportion to (key+1)^-s. The
// zipf of math/rand/v2 has no s below 1.
func zipf(s float64, keys int) []int {
	upTo := make([]float64, keys) // the probability of all keys up to this one, times the last
	sum := 0.0
	for key := range upTo {
		sum += math.Pow(float64(key+1), -s)
		upTo[key] = sum
	}
	rng := rand.New(rand.NewPCG(traceSeed, uint64(keys)))
	reads := make([]int, traceReads)
	for i := range reads {
		key, _ := slices.BinarySearch(upTo, rng.Float64()*sum)
		reads[i] = min(key, keys-1)
	}
	return reads
}

// scans interrupts zipf. No scan reads a key that was read before.
func scans(capacity int) []int {
	reads := zipf(0.99, 10*capacity)
	cold := 10 * capacity
	for i := range reads {
		if i%(20*capacity) >= 18*capacity {
			reads[i] = cold
			cold++
		}
	}
	return reads
}

// shifts makes the hottest key of zipf one that was in the middle before, and its successors
// with it.
func shifts(capacity int) []int {
	keys := 10 * capacity
	reads := zipf(0.99, keys)
	for i := range reads {
		reads[i] = (reads[i] + i/shiftEvery*keys/3) % keys
	}
	return reads
}

func loop(capacity int) []int {
	reads := make([]int, traceReads)
	for i := range reads {
		reads[i] = i % (capacity * 11 / 10)
	}
	return reads
}

// twice reads each key once more after half as many other keys as the capacity, and then never
// again.
func twice(capacity int) []int {
	reads := make([]int, traceReads)
	for i := range reads {
		reads[i] = i / 2
		if i%2 == 1 {
			reads[i] = (i - capacity/2) / 2
		}
	}
	return reads
}
