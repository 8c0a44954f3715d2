// Package guard tracks the keys that one instance must not fill.
package guard

import (
	"sync"
	"sync/atomic"
	"time"
)

// Keys are the keys for which this instance stores nothing: the keys of its running Mutates,
// and invalidated keys, for Options.HoldOff. In the remote tier tombstones do the same. Keys
// serves instances without a remote tier, and instances that cannot reach the remote tier.
// Names identify the keys, because the log has names of keys that this instance has never
// seen. The zero value is ready for use, and all methods are safe for concurrent use.
type Keys struct {
	any atomic.Bool // there may be a key; spares the reads the lock

	mu        sync.Mutex     // guards all below
	mutating  map[string]int // the number of Mutates that run for a key
	held      map[string]time.Time
	nextSweep time.Time // zero if held is empty
}

// Any reports whether there may be a key.
func (k *Keys) Any() bool { return k.any.Load() }

// Add guards names until Remove. A name may be added several times.
func (k *Keys) Add(names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mutating == nil {
		k.mutating = make(map[string]int)
	}
	for _, name := range names {
		k.mutating[name]++
	}
	k.any.Store(true)
}

// Remove undoes one Add of names.
func (k *Keys) Remove(names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range names {
		if k.mutating[name]--; k.mutating[name] == 0 {
			delete(k.mutating, name)
		}
	}
	k.restLocked()
}

// Hold guards names for d.
func (k *Keys) Hold(names []string, d time.Duration) {
	if d == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		k.held = make(map[string]time.Time)
	}
	now := time.Now()
	k.sweepLocked(now)
	for _, name := range names {
		k.held[name] = now.Add(d)
	}
	if k.nextSweep.IsZero() {
		k.nextSweep = now.Add(d)
	}
	k.any.Store(true)
}

// sweepLocked deletes the names whose time in held has passed. It sets nextSweep to the
// latest time that remains in held. So a sweep visits a name at most twice: the next sweep
// deletes every name that this one has left. held never has more names than Hold added
// within 2 x HoldOff.
func (k *Keys) sweepLocked(now time.Time) {
	if now.Before(k.nextSweep) {
		return
	}
	k.nextSweep = time.Time{}
	for name, until := range k.held {
		if !now.Before(until) {
			delete(k.held, name)
		} else if until.After(k.nextSweep) {
			k.nextSweep = until
		}
	}
	k.restLocked()
}

// Mutating reports whether a Mutate of name runs.
func (k *Keys) Mutating(name string) bool {
	if !k.any.Load() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mutating[name] > 0
}

// Has reports whether name is guarded.
func (k *Keys) Has(name string) bool {
	if !k.any.Load() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.sweepLocked(now)
	return k.mutating[name] > 0 || now.Before(k.held[name])
}

func (k *Keys) restLocked() {
	if len(k.mutating) == 0 && len(k.held) == 0 {
		k.any.Store(false)
	}
}
