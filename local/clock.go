package local

import (
	"math"
	"sync/atomic"
	"time"
)

// clock tells nanoseconds since a store was made, on the monotonic clock.
//
// Reading the machine's clock costs 25 ns, as much as the LRU beneath. A hit on
// an entry that is far from its end needs no exact time, so it takes the time of
// the last tick instead. Ticks are kept up only while the store is used: the
// first reader starts a run of them, and after run the clock stops until the
// next reader. An idle store therefore wakes nobody.
//
// A tick can be late: by milliseconds when the machine is busy, by any time
// when the process was frozen. Hence margin: an entry that ends within it is
// judged by the machine's clock. Only a process that was frozen for longer than
// margin can trust a tick that is too old, until its timers run again.
type clock struct {
	start time.Time
	last  atomic.Int64 // the time of the last tick; 0 while the clock stands
}

const (
	tick   = 10 * time.Millisecond
	run    = time.Second
	margin = int64(250 * time.Millisecond)
)

// newClock returns a clock that shows 1, so that 0 is left to say that it stands.
func newClock() clock { return clock{start: time.Now().Add(-1)} }

// exact reads one clock, the monotonic one; time.Now would read two.
func (c *clock) exact() int64 { return int64(time.Since(c.start)) }

// recent is the time of the last tick, or exact where the clock stands.
func (c *clock) recent() int64 {
	if t := c.last.Load(); t != 0 {
		return t
	}
	return c.wind()
}

// wind starts a run of ticks if nobody else did meanwhile.
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

// forever stands for whatever is longer: 73 years, so that two of it add up.
const forever = math.MaxInt64 / 4

func nanos(d time.Duration) int64 { return min(int64(d), forever) }
