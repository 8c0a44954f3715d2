package cache

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// The bounds of the attempts to invalidate again what is distrusted. An attempt that finds
// no place is left out: the next read of the name asks for another.
const (
	maxRetries    = 16
	minRetryPause = 100 * time.Millisecond
	maxRetryPause = 5 * time.Second
)

// retries are the attempts to invalidate distrusted names again.
type retries struct {
	mu      sync.Mutex // guards all below
	running int
	names   map[string]retry
}

// retry is what is known of the attempts for one name.
type retry struct {
	running bool
	pause   time.Duration // after the last attempt
	next    time.Time     // when the next one may begin
}

// claim reports whether the caller is to make an attempt for name; if so it calls done.
func (r *retries) claim(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.names[name]
	if r.running >= maxRetries || a.running || time.Now().Before(a.next) {
		return false
	}
	if r.names == nil {
		r.names = make(map[string]retry)
	}
	r.forgetLocked()
	a.running = true
	r.names[name] = a
	r.running++
	return true
}

// done notes the end of an attempt. After one that failed there is a pause.
func (r *retries) done(name string, succeeded bool) {
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

// forgetLocked bounds the names, of which some may have come to be trusted otherwise.
func (r *retries) forgetLocked() {
	if len(r.names) < maxDistrusted {
		return
	}
	for name, a := range r.names {
		if !a.running {
			delete(r.names, name)
		}
	}
}

// count returns how many attempts run.
func (r *retries) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}

// distrusts reports whether the remote tier may hold what was declared wrong for name, of
// a key or of a tag. If so an attempt to invalidate it again begins, when one is due: a
// failure must not keep this instance from the remote tier for MaxAge.
func (c *Cache[K, V]) distrusts(ctx context.Context, name string) bool {
	if !c.distrusted.has(name) {
		return false
	}
	if c.distrusted.hasAll() {
		name = c.tagPrefix
	}
	if !c.gate.enter() {
		return true
	}
	if !c.retries.claim(name) {
		c.gate.leave()
		return true
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer c.gate.leave()
		succeeded := false
		defer func() { c.retries.done(name, succeeded) }()
		succeeded = c.retry(ctx, name)
	}()
	return true
}

// retry invalidates a distrusted name again, and trusts it if that succeeds. A position is
// noted before the tag is trusted, because the call that failed has returned. In the
// other order:
//
//  1. The tag is trusted.
//  2. A call begins, and reads a record with the tag. By what is known it is right.
//  3. The position is noted, by which it is wrong.
//
// Nothing is dropped once more: local entries of before went when the call failed, and no
// record of the name was used while it was distrusted.
func (c *Cache[K, V]) retry(ctx context.Context, name string) (succeeded bool) {
	mark := c.distrusted.now()
	names := []string{name}
	tag, isTag := strings.CutPrefix(name, c.tagPrefix)
	if !isTag {
		if err := c.opts.Remote.Invalidate(ctx, names, c.opts.HoldOff); err != nil {
			c.remoteFailed(ctx, "invalidate", err)
			return false
		}
		c.distrusted.settle(names, mark)
		return true
	}
	at, err := c.opts.Remote.InvalidateTags(ctx, names, c.keepTags())
	if err != nil {
		c.remoteFailed(ctx, "invalidate tags", err)
		return false
	}
	c.known.told(tag, at)
	c.distrusted.settle(names, mark)
	if tag == "" {
		c.distrusted.settleAll(mark)
	}
	return true
}
