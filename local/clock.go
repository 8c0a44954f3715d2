package local

import (
	"math"
	"sync/atomic"
	"time"
)

// clock returns the nanoseconds since a store was made, on the monotonic clock.
//
// Reading the machine's clock costs 25 ns, as much as the LRU beneath. A hit on an entry
// that is far from its end needs no exact time, so the hit takes the time of the last tick
// instead. Ticks are kept up only while the store is used: the first reader starts a run of
// ticks, and after that run the clock stops until the next reader. So an idle store has no
// timer.
//
// A tick can be late: by milliseconds when the machine is busy, by any time when the
// process was frozen. That is the reason for margin: an entry that ends within margin is
// judged by the machine's clock. Only in a process that was frozen for longer than margin
// can a tick be older than that, until the timers of the process run again.
type clock struct {
	start time.Time
	last  atomic.Int64 // the time of the last tick; 0 while the clock is stopped
}

const (
	tick   = 10 * time.Millisecond
	run    = time.Second
	margin = int64(250 * time.Millisecond)
)

// newClock returns a clock that starts at 1, because 0 means that the clock is stopped.
func newClock() clock { return clock{start: time.Now().Add(-1)} }

// exact reads one clock, the monotonic one. time.Now would read two.
func (c *clock) exact() int64 { return int64(time.Since(c.start)) }

// recent returns the time of the last tick, or the exact time if the clock is stopped.
func (c *clock) recent() int64 {
	if t := c.last.Load(); t != 0 {
		return t
	}
	return c.wind()
}

// wind starts a run of ticks, unless another goroutine has started a run. It returns the
// exact time.
func (c *clock) wind() int64 {
	now := c.exact()
	if c.last.CompareAndSwap(0, now) {
		time.AfterFunc(tick, func() { c.advance(int(run / tick)) })
	}
	return now
}

func (c *clock) advance(left int) {
	if left == 0 {
		c.last.Store(0)
		return
	}
	c.last.Store(c.exact())
	time.AfterFunc(tick, func() { c.advance(left - 1) })
}

// tickNow ticks before the tick is due, unless the clock is stopped.
func (c *clock) tickNow() {
	if t := c.last.Load(); t != 0 {
		c.last.CompareAndSwap(t, c.exact())
	}
}

// forever replaces every longer duration. It is 73 years, so that the sum of two does not
// overflow.
const forever = math.MaxInt64 / 4

func nanos(d time.Duration) int64 { return min(int64(d), forever) }
