package cache

import (
	"math"
	"time"
)

// An option may be as long as a Duration can be. Sums and products of options saturate: a time
// longer than 292 years is 292 years, and never negative.

// longest is the longest Duration.
const longest = time.Duration(math.MaxInt64)

// sum returns a + b, or the longest Duration if that is less. Neither a nor b is negative.
func sum(a, b time.Duration) time.Duration {
	if a > longest-b {
		return longest
	}
	return a + b
}

// times returns d x n, or the longest Duration if that is less. Neither d nor n is negative.
func times(d time.Duration, n int64) time.Duration {
	if n > 0 && d > longest/time.Duration(n) {
		return longest
	}
	return d * time.Duration(n)
}

// remainder returns d - passed, or 0 if that is negative. A negative passed, of a wrong clock
// or record, counts as 0.
func remainder(d, passed time.Duration) time.Duration {
	return max(d-max(passed, 0), 0)
}
