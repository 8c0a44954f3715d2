package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxDistrusted bounds the keys that are distrusted one by one.
const maxDistrusted = 10_000

// distrusted are the keys whose invalidation the remote tier has not confirmed:
// it may still hold what was declared wrong, so this instance does not read them
// there. A key leaves when it is invalidated with success, by a call or by a retry, or
// after MaxAge, when nothing that old can exist any more. Beyond maxDistrusted keys, all
// are distrusted until the whole cache is invalidated, or then: a key is never forgotten
// early.
type distrusted struct {
	any atomic.Bool // whether there may be one; spares the reads the lock

	mu    sync.Mutex // guards all below
	round int        // of add, counted
	keys  map[string]doubt
	all   time.Time // until when every key is distrusted
	allIn int       // the round of add that all dates from
}

// doubt says which round of add a key was distrusted in, and until when.
type doubt struct {
	round int
	until time.Time
}

// add distrusts keys, and reports whether from now on it distrusts all.
func (d *distrusted) add(keys []string, maxAge time.Duration) (all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.keys == nil {
		d.keys = make(map[string]doubt)
	}
	d.round++
	for _, k := range keys {
		d.keys[k] = doubt{d.round, now.Add(maxAge)}
	}
	d.any.Store(true)
	if len(d.keys) > maxDistrusted {
		d.expireLocked(now)
	}
	if len(d.keys) > maxDistrusted {
		d.all, d.allIn, all = now.Add(maxAge), d.round, true
		clear(d.keys)
	}
	return all
}

// now returns a mark for settle, to be taken before the delete is sent.
func (d *distrusted) now() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.round
}

// settle trusts keys again, which the remote tier has deleted after mark was
// taken. It leaves doubts that are newer than mark:
//
//  1. Invalidate A deletes the key, and is slow to return.
//  2. A read fills the key. The source is written to.
//  3. Invalidate B cannot delete the key, distrusts it and returns its error.
//  4. Invalidate A settles the key.
//
// The old value would be read again, although B has returned.
func (d *distrusted) settle(keys []string, mark int) {
	if !d.any.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range keys {
		if d.keys[k].round <= mark {
			delete(d.keys, k)
		}
	}
	d.lookLocked(time.Now())
}

// settleAll ends the distrust of all keys, of which nothing that stood in the remote tier
// when mark was taken counts any more. A distrust of all that is newer stays.
func (d *distrusted) settleAll(mark int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.allIn <= mark {
		d.all = time.Time{}
	}
	d.lookLocked(time.Now())
}

// hasAll reports whether all keys are distrusted.
func (d *distrusted) hasAll() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Before(d.all)
}

func (d *distrusted) has(key string) bool {
	if !d.any.Load() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if now.Before(d.all) {
		return true
	}
	doubt, ok := d.keys[key]
	if ok && !now.Before(doubt.until) {
		delete(d.keys, key)
		ok = false
	}
	d.lookLocked(now)
	return ok
}

// count returns how many keys are distrusted, and whether all are.
func (d *distrusted) count() (keys int, all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.expireLocked(now)
	return len(d.keys), now.Before(d.all)
}

func (d *distrusted) expireLocked(now time.Time) {
	for k, doubt := range d.keys {
		if !now.Before(doubt.until) {
			delete(d.keys, k)
		}
	}
}

func (d *distrusted) lookLocked(now time.Time) {
	if len(d.keys) == 0 && !now.Before(d.all) {
		d.any.Store(false)
	}
}
