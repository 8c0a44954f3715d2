// Package journal keeps the invalidations that the remote tier has not confirmed, and makes
// them again in the background.
package journal

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxNames bounds the names that are kept one by one.
	maxNames = 10_000

	// maxAtOnce bounds the names of an attempt.
	maxAtOnce = 500

	// maxAlone bounds the attempts of one name each that run at the same time.
	maxAlone = 16

	// The bounds of the pause after a failed attempt. The pause doubles each time.
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// Journal keeps the names, of keys and of tags, whose invalidation the remote tier has not
// confirmed. The remote tier may still hold invalid values for them, so this instance does
// not read them there. A name leaves when its invalidation is confirmed, or after MaxAge,
// when the remote tier can hold nothing that old. Beyond maxNames names the journal keeps
// Everything in their place: a name is never forgotten early.
//
// While there are names, a goroutine attempts to invalidate them. The exported fields are
// set before the first call. All methods are safe for concurrent use.
type Journal struct {
	// Deliver invalidates names in the remote tier once, and returns the names that the
	// remote tier has not confirmed, and why. It calls no method of the Journal.
	Deliver func(ctx context.Context, names []string) (failed []string, err error)

	// Everything is the name whose invalidation invalidates every name.
	Everything string

	// MaxAge is how long a name is kept after it was last added.
	MaxAge time.Duration

	any      atomic.Bool  // there may be a name; spares the reads the lock
	attempts atomic.Int32 // attempts under way
	closed   atomic.Bool  // no attempt begins any more

	mu    sync.Mutex // guards all below; reads wait for it, so it is held briefly
	round int        // counts the calls of Add
	names map[string]*entry
	queue queue         // of names
	ends  time.Time     // no name is to be forgotten before
	woken chan struct{} // receives an element when names are added

	attempting chan struct{} // has an element during the attempts of one round

	cancel  context.CancelFunc
	worker  sync.WaitGroup // has a worker while cancel is not nil
	stopped bool
}

// entry is the state of one name.
type entry struct {
	name  string
	place int           // in the queue
	round int           // of the last Add
	until time.Time     // when the name is forgotten
	pause time.Duration // after the last attempt
	next  time.Time     // when the next attempt may begin

	full bool // of Everything: there were too many names
}

// Add notes that names are unconfirmed, and starts attempts to invalidate them. If there are
// too many names by now, Add keeps Everything in place of all of them, and returns them.
func (j *Journal) Add(names []string) (replaced []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.names == nil {
		j.names = make(map[string]*entry)
		j.woken, j.attempting = make(chan struct{}, 1), make(chan struct{}, 1)
	}
	j.round++
	now := time.Now()
	for _, name := range names {
		j.addLocked(name, now)
	}
	if len(j.names) > maxNames {
		j.forgetLocked(now)
	}
	if len(j.names) > maxNames {
		for name := range j.names {
			if name != j.Everything {
				replaced = append(replaced, name)
			}
		}
		clear(j.names)
		j.queue = nil
		j.addLocked(j.Everything, now)
		j.names[j.Everything].full = true
	}
	j.any.Store(true)
	j.startLocked()
	return replaced
}

func (j *Journal) addLocked(name string, now time.Time) {
	e := j.names[name]
	if e == nil {
		e = &entry{name: name}
		e.delay(now)
		j.names[name] = e
		heap.Push(&j.queue, e)
	}
	e.round, e.until = j.round, now.Add(j.MaxAge)
	if len(j.names) == 1 {
		j.ends = e.until
	}
}

func (j *Journal) removeLocked(e *entry) {
	delete(j.names, e.name)
	heap.Remove(&j.queue, e.place)
}

// delay sets the pause before the next attempt.
func (e *entry) delay(now time.Time) {
	e.pause = min(max(2*e.pause, minPause), maxPause)
	e.next = now.Add(e.pause/2 + rand.N(e.pause/2+1))
}

// Round returns the number of calls of Add so far. An invalidation takes the round before
// its command is sent, and passes it to Confirm.
func (j *Journal) Round() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.round
}

// Confirm notes that the remote tier has invalidated names, by a command that was sent
// after round was taken. Names that were added after round stay unconfirmed:
//
//  1. Invalidate A deletes the key, and is slow to return.
//  2. A read fills the key. The source is written to.
//  3. Invalidate B cannot delete the key, adds it here, and returns its error.
//  4. Invalidate A confirms the key.
//
// Otherwise the old value would be read again, although B has returned.
func (j *Journal) Confirm(names []string, round int) {
	if !j.any.Load() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range names {
		if name == j.Everything {
			for _, e := range j.names {
				if e.round <= round {
					j.removeLocked(e)
				}
			}
		} else if e := j.names[name]; e != nil && e.round <= round {
			j.removeLocked(e)
		}
	}
	j.restLocked()
}

// Has reports whether name is unconfirmed, by itself or as one of too many.
func (j *Journal) Has(name string) bool {
	if !j.any.Load() {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	e, all := j.names[name], j.names[j.Everything]
	return e != nil && now.Before(e.until) || all != nil && all.full && now.Before(all.until)
}

// Count returns the number of unconfirmed names, and whether there were too many, so that
// every name is unconfirmed.
func (j *Journal) Count() (names int, all bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.forgetLocked(time.Now())
	e := j.names[j.Everything]
	return len(j.names), e != nil && e.full
}

// Attempts returns the number of attempts under way.
func (j *Journal) Attempts() int { return int(j.attempts.Load()) }

// forgetLocked removes the names whose time is over. It looks at all names only when the time
// of one may be over.
func (j *Journal) forgetLocked(now time.Time) {
	if now.Before(j.ends) {
		return
	}
	j.ends = now.Add(j.MaxAge)
	for _, e := range j.names {
		if !now.Before(e.until) {
			j.removeLocked(e)
		} else if e.until.Before(j.ends) {
			j.ends = e.until
		}
	}
	j.restLocked()
}

func (j *Journal) restLocked() {
	if len(j.names) == 0 {
		j.any.Store(false)
	}
}
