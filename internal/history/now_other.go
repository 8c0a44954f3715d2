//go:build !linux

package history

import "time"

var started = time.Now()

// Now returns the time for records. On Linux it is the machine's CLOCK_MONOTONIC, so that
// the records of several processes can be compared. On other systems it counts from the
// start of the process, and the records of each process stand alone.
func Now() int64 { return int64(time.Since(started)) }
