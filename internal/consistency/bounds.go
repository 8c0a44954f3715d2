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
	// reconnects: the connection of the log is gone, and the reader waits until it makes
	// another, 200 ms at most, with a jitter of half of it.
	reconnects = 200*time.Millisecond + 100*time.Millisecond

	// noticed, then reconnects: a connection that was made at the fault's very end is
	// dead like those before it. Silence on it counts for as long as LogTimeout.
	noticed = logTimeout + reconnects

	// rerouted: the old server may let the reader wait until its XREAD ends, which is
	// for a quarter of LogTimeout. go-redis asks where slots are at most each 200 ms:
	// until then the reader is told to go elsewhere.
	rerouted = logTimeout/4 + 200*time.Millisecond + reconnects

	longestRecovery = max(reconnects, noticed, rerouted)
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
