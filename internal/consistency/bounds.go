package consistency

import (
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// slack is what an entry of the log is allowed to take: a machine on which all of the
// fleet shares two cores delays everybody by that much now and then.
const slack = 300 * time.Millisecond

// How long after the end of a fault entries of the log may still be held up by it. What
// was held up is read at once when the log is read again, and takes slack from then.
const (
	// reconnects: the connection of the log is gone. The reader has failed to make another
	// at the fault's very end, and waits before it tries again: for 200 ms at most, the
	// jitter included.
	reconnects = 200 * time.Millisecond

	// notices: the connection was made at the fault's very end, or before, and is silent
	// for good. The reader gives it up after LogTimeout, and makes another.
	notices = logTimeout + reconnects

	// moves: the node that had the slot may let the reader wait until its XREAD ends, for
	// a quarter of LogTimeout. It says where the slot has moved to, and the reader goes there.
	moves = logTimeout/4 + reconnects

	longestRecovery = max(reconnects, notices, moves)
)

// nothing is the recovery from a fault that holds up no entry, and so excuses nothing.
const nothing = time.Duration(0)

// Bounds are what a fleet with that Local.TTL is judged by.
func Bounds(local time.Duration, cluster bool) history.Options {
	o := history.Options{Delivery: slack, Faulty: make(map[string]history.Bound)}
	for _, f := range faults(cluster) {
		if f.recovery != nothing {
			o.Faulty[f.kind] = history.Bound{Longest: local + slack, Recovery: f.recovery}
		}
	}
	return o
}
