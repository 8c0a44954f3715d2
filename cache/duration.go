package cache

import (
	"math"
	"time"
)

// Options may be as long as a Duration can be. Sums and products of them saturate: a
// longer time than 292 years is 292 years, and never one that has passed.

// longest is the longest Duration.
const longest = time.Duration(math.MaxInt64)

// sum returns a + b, which are not negative, or the longest Duration.
func sum(a, b time.Duration) time.Duration {
	if a > longest-b {
		return longest
	}
	return a + b
}

// times returns d x n, which are not negative, or the longest Duration.
func times(d time.Duration, n int64) time.Duration {
	if n > 0 && d > longest/time.Duration(n) {
		return longest
	}
	return d * time.Duration(n)
}

// remainder returns what is left of d, which is not negative, after passed; 0 if nothing
// is. A passed that is negative, because a clock or a record says so, counts as 0.
func remainder(d, passed time.Duration) time.Duration {
	return max(d-max(passed, 0), 0)
}
