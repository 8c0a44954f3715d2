package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// banned are the keys for which this instance stores nothing: those of its Mutates
// under way, and for HoldOff those that were invalidated. Tombstones say the same in
// the remote tier; this is for when that cannot be reached, or there is none. They are
// here by name, since the log tells of keys that this instance has never seen.
type banned struct {
	any atomic.Bool // whether there may be one; spares the reads the lock

	mu       sync.Mutex     // guards all below
	mutating map[string]int // how many Mutates run
	held     map[string]time.Time
	look     time.Time // when held is next looked through; zero if there are none
}

func (b *banned) add(names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mutating == nil {
		b.mutating = make(map[string]int)
	}
	for _, k := range names {
		b.mutating[k]++
	}
	b.any.Store(true)
}

func (b *banned) remove(names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range names {
		if b.mutating[k]--; b.mutating[k] == 0 {
			delete(b.mutating, k)
		}
	}
	b.restLocked()
}

// hold bans names for d.
func (b *banned) hold(names []string, d time.Duration) {
	if d == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil {
		b.held = make(map[string]time.Time)
	}
	now := time.Now()
	b.forgetLocked(now)
	for _, k := range names {
		b.held[k] = now.Add(d)
	}
	if b.look.IsZero() {
		b.look = now.Add(d)
	}
	b.any.Store(true)
}

// forgetLocked removes those whose time is over, when the last one's is that was left
// the time before: so each is looked at twice at most, and there are never more than
// were held within two times HoldOff.
func (b *banned) forgetLocked(now time.Time) {
	if now.Before(b.look) {
		return
	}
	b.look = time.Time{}
	for k, until := range b.held {
		if !now.Before(until) {
			delete(b.held, k)
		} else if until.After(b.look) {
			b.look = until
		}
	}
	b.restLocked()
}

// mutates reports whether a Mutate of name runs.
func (b *banned) mutates(name string) bool {
	if !b.any.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mutating[name] > 0
}

func (b *banned) has(name string) bool {
	if !b.any.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.forgetLocked(now)
	return b.mutating[name] > 0 || now.Before(b.held[name])
}

func (b *banned) restLocked() {
	if len(b.mutating) == 0 && len(b.held) == 0 {
		b.any.Store(false)
	}
}
