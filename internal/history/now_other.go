//go:build !linux

package history

import "time"

var started = time.Now()

// Now returns the time for records. On Linux it is the machine's CLOCK_MONOTONIC,
// so that the records of several processes can be compared; elsewhere it counts
// from the start of the process, whose records stand alone.
func Now() int64 { return int64(time.Since(started)) }
