package journal

import (
	"math/rand/v2"
	"sync"
	"time"
)

// The bounds of the retries. A retry that finds no place is left out: the next read of the
// name asks for another.
const (
	maxRetries    = 16
	minRetryPause = 100 * time.Millisecond
	maxRetryPause = 5 * time.Second
)

// Retries schedules the attempts to invalidate unconfirmed names again. The zero value is
// ready for use, and all methods are safe for concurrent use.
type Retries struct {
	mu      sync.Mutex // guards all below
	running int
	names   map[string]retry
}

// retry is the state of one name's attempts.
type retry struct {
	running bool
	pause   time.Duration // after the last attempt
	next    time.Time     // when the next attempt may begin
}

// Claim reports whether the caller is to make an attempt for name. If so, the caller calls
// Done at its end.
func (r *Retries) Claim(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.names[name]
	if r.running >= maxRetries || a.running || time.Now().Before(a.next) {
		return false
	}
	if r.names == nil {
		r.names = make(map[string]retry)
	}
	r.sweepLocked()
	a.running = true
	r.names[name] = a
	r.running++
	return true
}

// Done ends an attempt. An attempt that failed is followed by a pause, which doubles each
// time.
func (r *Retries) Done(name string, succeeded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	if succeeded {
		delete(r.names, name)
		return
	}
	pause := min(max(2*r.names[name].pause, minRetryPause), maxRetryPause)
	r.names[name] = retry{pause: pause, next: time.Now().Add(pause/2 + rand.N(pause/2+1))}
}

// sweepLocked bounds the names. Some of them may have been confirmed by a call.
func (r *Retries) sweepLocked() {
	if len(r.names) < maxNames {
		return
	}
	for name, a := range r.names {
		if !a.running {
			delete(r.names, name)
		}
	}
}

// Count returns the number of attempts that run.
func (r *Retries) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}
