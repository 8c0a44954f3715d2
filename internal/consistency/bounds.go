package consistency

import (
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// slack is the allowed delivery time of an entry of the log. On a machine whose two cores
// run the whole fleet, everything is delayed by that much now and then.
const slack = 300 * time.Millisecond

// The times for which entries of the log may still be delayed after the end of a fault.
// When the log is read again, the delayed entries are read at once, and slack counts from
// then.
const (
	// reconnects: the connection of the log is gone. The last attempt to reconnect has
	// failed at the very end of the fault, and the reader waits before the next attempt:
	// for 200 ms at most, the jitter included.
	reconnects = 200 * time.Millisecond

	// notices: the connection was made at the very end of the fault, or before, and stays
	// silent. The reader closes the connection after LogTimeout, and makes another.
	notices = logTimeout + reconnects

	// moves: the old node of the slot may let the reader wait until its XREAD ends, for a
	// quarter of LogTimeout. The node then returns the new node, and the reader goes there.
	moves = logTimeout/4 + reconnects

	// repeats: the server has lost entries that it had acknowledged. When the log is read
	// again, the instances find that out, and repeat the invalidations as soon as the breaker
	// closes: its probes come every 200 ms at the most. Until then only the instances that
	// remember the invalidations know that the values are old.
	repeats = time.Second

	longestRecovery = max(reconnects, notices, moves, repeats)
)

// nothing is the recovery of a fault that delays no entry, and so excuses nothing.
const nothing = time.Duration(0)

// Bounds returns the promises by which a fleet with that Local.TTL is judged.
func Bounds(local time.Duration, cluster bool) history.Options {
	o := history.Options{Delivery: slack, Faulty: make(map[string]history.Bound)}
	for _, f := range faults(cluster) {
		if f.recovery != nothing {
			o.Faulty[f.kind] = history.Bound{Longest: local + slack, Recovery: f.recovery}
		}
	}
	return o
}
