package chaos

import (
	"fmt"
	"time"
)

// The bounds. A machine that is busy can exceed the first kind: the table says "missed" for
// a row that does. No machine exceeds the second kind: a row that does is wrong.
const (
	healedWithin = 300 * time.Millisecond
	addedAtMost  = 50 * time.Microsecond // at p99, once the breakers are open, beyond the instance without Redis
	linesAtMost  = 3                     // of each instance in an outage, on standard error and in the Logger

	// A call that pays the budget of redis.Options.Timeout pays 50 ms. If half of the calls
	// pay that, no breaker is open.
	halfAddedAtMost = 40 * time.Millisecond
	floodAtMost     = 50 // lines of each instance
)

// lines returns the number of lines of all instances, wherever they are written.
func (r Row) lines() int { return len(r.Stderr) + len(r.Lines) }

// Missed returns the bounds that the row has missed, which may be due to the machine.
func (r Row) Missed() (missed []string) {
	if r.heals() && (r.Healed < 0 || r.Healed > r.Fault.lingers+healedWithin) {
		missed = append(missed, "healed")
	}
	if r.Fault.gone && r.Open.P99 > r.Beside.P99+addedAtMost {
		missed = append(missed, "added")
	}
	if r.Fault.gone && r.heals() && !r.Fault.dead && r.Beside.P99 > r.Calmly.P99+addedAtMost { // all of the process is slower
		missed = append(missed, "slows")
	}
	if r.lines() > instances*linesAtMost {
		missed = append(missed, "lines")
	}
	if r.Left > 0 {
		missed = append(missed, "goroutines")
	}
	if r.failed() > 0 {
		missed = append(missed, "failed")
	}
	if r.stale() > 0 {
		missed = append(missed, "stale")
	}
	return missed
}

// Wrong returns the bounds that the row has broken, in words.
func (r Row) Wrong() (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if n := r.failed(); n > 0 {
		say("%d reads failed", n)
	}
	if n := r.stale(); n > 0 {
		say("%d reads were stale beyond the bound", n)
	}
	if r.heals() && r.Healed < 0 {
		say("no Redis hits on every instance %v after the fault", healing)
	}
	if r.Fault.gone && r.Open.P50 > halfAddedAtMost {
		say("calls took %v longer than their loads, in the median", r.Open.P50)
	}
	if n := r.lines(); n > instances*floodAtMost {
		say("%d lines", n)
	}
	return wrong
}

// heals reports whether the fault ends.
func (r Row) heals() bool { return !r.Fault.always }

func (r Row) failed() int { return r.Before.Failed + r.During.Failed + r.After.Failed }

// stale returns the number of reads that were stale beyond the bound. Where Redis loses
// writes, those count that began later than Options.Noticing after the end of the fault.
func (r Row) stale() int {
	if r.Fault.loses {
		return r.Before.Stale + r.Lost
	}
	return r.Before.Stale + r.During.Stale + r.After.Stale
}
