package redistest

import (
	"sync"
	"time"
)

// Stalls are the times in which this process did not run although it was due. They are the
// control for tests that measure durations: the delay that a busy or suspended machine adds
// to a measurement shows in the control as well.
type Stalls struct {
	mu  sync.Mutex // guards all
	all []stall
}

type stall struct {
	end  time.Time
	long time.Duration
}

// lightSleep is how long the control sleeps at a time, and the length above which
// oversleeping counts as a stall.
const lightSleep = time.Millisecond

// WatchStalls starts a control, which runs until the process ends: a goroutine that sleeps
// for a millisecond at a time, and notes by how much it overslept.
func WatchStalls() *Stalls {
	s := &Stalls{}
	go func() {
		for {
			asleep := time.Now()
			time.Sleep(lightSleep)
			awake := time.Now()
			if long := awake.Sub(asleep) - lightSleep; long > lightSleep {
				s.mu.Lock()
				s.all = append(s.all, stall{awake, long})
				s.mu.Unlock()
			}
		}
	}()
	return s
}

// Since returns how long the process stalled since start, in all and at worst. A current
// stall may be missing for another millisecond, so Since waits for two.
func (s *Stalls) Since(start time.Time) (all, worst time.Duration) {
	<-time.After(2 * lightSleep)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.all) - 1; i >= 0 && s.all[i].end.After(start); i-- {
		long := min(s.all[i].long, s.all[i].end.Sub(start))
		all, worst = all+long, max(worst, long)
	}
	return all, worst
}
