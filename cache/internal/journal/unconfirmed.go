// Package journal tracks the invalidations that the remote tier has not confirmed.
package journal

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxNames bounds the names that are tracked one by one.
const maxNames = 10_000

// Unconfirmed are the names, of keys and of tags, whose invalidation the remote tier has not
// confirmed. The remote tier may still hold invalid values for them, so this instance does
// not read them there. A name leaves when a call or a retry invalidates it with success, or
// after MaxAge, when the remote tier can hold nothing that old. Beyond maxNames names all
// are unconfirmed, until the whole cache is invalidated or MaxAge has passed: a name is
// never forgotten early. The zero value is ready for use, and all methods are safe for
// concurrent use.
type Unconfirmed struct {
	any atomic.Bool // there may be a name; spares the reads the lock

	mu    sync.Mutex // guards all below
	round int        // counts the calls of Add
	names map[string]doubt
	all   time.Time // until when every name is unconfirmed
	allIn int       // the round that set all
}

// doubt is one name: the round that added it, and when it leaves by itself.
type doubt struct {
	round int
	until time.Time
}

// Add notes that names are unconfirmed for maxAge. It reports whether all names are
// unconfirmed from now on.
func (u *Unconfirmed) Add(names []string, maxAge time.Duration) (all bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if u.names == nil {
		u.names = make(map[string]doubt)
	}
	u.round++
	for _, name := range names {
		u.names[name] = doubt{u.round, now.Add(maxAge)}
	}
	u.any.Store(true)
	if len(u.names) > maxNames {
		u.expireLocked(now)
	}
	if len(u.names) > maxNames {
		u.all, u.allIn, all = now.Add(maxAge), u.round, true
		clear(u.names)
	}
	return all
}

// Round returns the number of calls of Add so far. An invalidation takes the round before
// its command is sent, and passes it to Confirm.
func (u *Unconfirmed) Round() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.round
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
func (u *Unconfirmed) Confirm(names []string, round int) {
	if !u.any.Load() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, name := range names {
		if u.names[name].round <= round {
			delete(u.names, name)
		}
	}
	u.restLocked(time.Now())
}

// ConfirmAll ends the state in which all names are unconfirmed, because the whole cache was
// invalidated by a command that was sent after round was taken. If the state began after
// round it stays.
func (u *Unconfirmed) ConfirmAll(round int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.allIn <= round {
		u.all = time.Time{}
	}
	u.restLocked(time.Now())
}

// HasAll reports whether all names are unconfirmed.
func (u *Unconfirmed) HasAll() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return time.Now().Before(u.all)
}

// Has reports whether name is unconfirmed.
func (u *Unconfirmed) Has(name string) bool {
	if !u.any.Load() {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if now.Before(u.all) {
		return true
	}
	d, ok := u.names[name]
	if ok && !now.Before(d.until) {
		delete(u.names, name)
		ok = false
	}
	u.restLocked(now)
	return ok
}

// Count returns the number of unconfirmed names, and whether all names are unconfirmed.
func (u *Unconfirmed) Count() (names int, all bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	u.expireLocked(now)
	return len(u.names), now.Before(u.all)
}

func (u *Unconfirmed) expireLocked(now time.Time) {
	for name, d := range u.names {
		if !now.Before(d.until) {
			delete(u.names, name)
		}
	}
}

func (u *Unconfirmed) restLocked(now time.Time) {
	if len(u.names) == 0 && !now.Before(u.all) {
		u.any.Store(false)
	}
}
