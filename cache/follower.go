package cache

import (
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache/internal/validity"
	"github.com/nearside-go/nearside/cache/remote"
)

// follower applies the entries of the log to a cache.
type follower[K comparable, V any] struct{ c *Cache[K, V] }

// Since drops the local tier, unless the log is complete.
func (f follower[K, V]) Since(at remote.Position, complete bool) {
	if !complete {
		f.c.memory.Begin(at)
		f.c.recorder.Forget() // a server that has lost its log may have lost the positions, too
	}
	dropped, first := f.c.invalidations.Follow(at, complete)
	if !dropped {
		return
	}
	f.c.local.Clear()
	if first {
		return
	}
	f.c.counters.gaps.Add(1)
	// Debug: the Store has logged the gap, once for all its caches.
	f.c.opts.Logger.Debug("invalidations may have been missed; the local tier was dropped", "cache", f.c.opts.Name)
	if f.c.opts.Trace.Gap != nil {
		f.c.opts.Trace.Gap(context.Background())
	}
}

func (f follower[K, V]) Lost() { f.c.invalidations.Unfollow() }

// Recovered makes the invalidations that the remote tier has not confirmed.
func (f follower[K, V]) Recovered(ctx context.Context) { f.c.journal.Drain(ctx) }

// Invalidated drops the local copy of a key, or of a tag, that another instance invalidated,
// and detaches the key's flights. A flight may have read the old value from the remote tier
// before the deletion:
//
//  1. The flight reads the old value.
//  2. Another instance deletes the record, and appends the key to the log.
//  3. The entry arrives, and drops the local copy.
//  4. The flight publishes the old value in the local tier.
//
// Step 3 detaches the flight, which was registered before step 1, so step 4 publishes
// nothing. The entry comes after the deletion, so no flight that starts after step 3 reads
// the old value. If the entry came before the deletion, a flight could. The flight is not
// doomed: its load may have begun after the deletion and before the entry arrived. The lease
// decides whether that load may fill the remote tier: a lease from before the deletion is
// gone.
//
// The position of a tag is noted before the tag is dropped. In the other order:
//
//  1. The tag is dropped.
//  2. A flight begins, and reads a record with the tag. The record passes the check.
//  3. The position is noted, by which the record is invalid.
func (f follower[K, V]) Invalidated(name string, at remote.Position, own bool) {
	c := f.c
	f.remember(name, at, false)
	if tag, ok := strings.CutPrefix(name, c.tagPrefix); ok {
		c.invalidations.NotePosition(tag, at)
		if !own {
			c.invalidations.Drop(tag)
			c.reportInvalidated(name)
		}
		return
	}
	if !own {
		f.dropKey(name)
	}
}

// Replaced is Invalidated for a key whose record a Set has replaced. The new record may have
// a stamp from before the entry.
func (f follower[K, V]) Replaced(name string, at remote.Position, own bool) {
	f.remember(name, at, true)
	if !own {
		f.dropKey(name)
	}
}

func (f follower[K, V]) remember(name string, at remote.Position, replaced bool) {
	if f.c.concerns(name) {
		_, asOf := f.c.opts.Remote.Delivered(f.c.opts.Name)
		f.c.memory.Add(name, at, asOf, replaced)
	}
}

// concerns reports whether a name of this cache is a tag, or a key of its Schema.
func (c *Cache[K, V]) concerns(name string) bool {
	return strings.HasPrefix(name, c.prefix) || strings.HasPrefix(name, c.tagPrefix)
}

// dropKey applies another instance's change of a key.
func (f follower[K, V]) dropKey(name string) {
	c := f.c
	rest, ok := strings.CutPrefix(name, c.prefix)
	if !ok { // of another Schema
		return
	}
	c.guarded.Hold([]string{name}, c.opts.HoldOff)
	if key, ok := c.lookupKey(rest); ok {
		c.reads.DetachAnd(key, func() { // in one step: see doomAnd
			c.loads.DetachAnd(key, func() { c.local.Remove(key) })
		})
	}
	c.reportInvalidated(name)
}

// Reverted makes the invalidations again that the server has lost: those that this instance
// remembers from after a position, and names. Where the memory does not reach back so far, it
// invalidates the whole cache.
func (f follower[K, V]) Reverted(to remote.Position, names []string) {
	lost, complete := f.c.memory.After(to)
	lost = append(lost, names...)
	if !complete {
		lost = []string{f.c.tagPrefix}
	}
	f.c.repeat(lost)
}

// repeatPause is the shortest time between two calls of repeatFrom that do anything.
const repeatPause = time.Second

// repeatFrom makes the invalidations again that this instance remembers from a position on,
// because the remote tier has lost that one. In a Cluster the log does not show that the node of
// a key has lost deletions: it is on another node. But a record that has come back does.
func (c *Cache[K, V]) repeatFrom(from remote.Position) {
	if !c.repeats.due(repeatPause) || !c.gate.enter() {
		return
	}
	go func() {
		defer c.gate.leave()
		lost, _ := c.memory.After(remote.Position{Time: from.Time - 1, Seq: math.MaxUint64})
		c.repeat(lost)
	}()
}

// repeat makes invalidations again that the remote tier has lost. If they are more than the
// journal can hold, it invalidates the whole cache. Until then this instance does not read the
// names from the remote tier.
func (c *Cache[K, V]) repeat(lost []string) {
	if c.gate.isClosed() {
		return
	}
	if len(lost) > validity.MaxRemembered/2 {
		lost = []string{c.tagPrefix}
	}
	c.counters.reverts.Add(1)
	c.queue(context.Background(), lost)
	c.dropNames(lost)
	c.journal.Hurry()
}

// dropNames applies an invalidation of names, of keys and of tags, to this instance. Of another
// Schema the instance has nothing.
//
// lookupKey does not find the key of a flight that is registered and not yet indexed. Such a
// flight loads later, and reads the local and the remote tier later. With RemoteOnly it may have
// the record of an earlier read, which answers no call that begins later: see loadRemote.
func (c *Cache[K, V]) dropNames(names []string) {
	for _, name := range names {
		if tag, ok := strings.CutPrefix(name, c.tagPrefix); ok {
			c.invalidations.Drop(tag)
		} else if rest, ok := strings.CutPrefix(name, c.prefix); ok {
			c.guarded.Hold([]string{name}, c.opts.HoldOff)
			if key, ok := c.lookupKey(rest); ok {
				c.dropLocal([]K{key})
			}
		}
	}
}

// pace lets something happen once in a while.
type pace struct {
	mu   sync.Mutex // guards last
	last time.Time
}

// due reports whether a pause has passed since due last reported that.
func (p *pace) due(pause time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() && time.Since(p.last) < pause {
		return false
	}
	p.last = time.Now()
	return true
}

func (c *Cache[K, V]) reportInvalidated(name string) {
	c.counters.invalidationsReceived.Add(1)
	if c.opts.Trace.Invalidated != nil {
		rest, isTag := splitName(name)
		c.opts.Trace.Invalidated(context.Background(), InvalidatedInfo{Name: rest, Tag: isTag})
	}
}

// splitName returns the key or the tag of a name.
func splitName(name string) (rest string, isTag bool) {
	_, rest, _ = strings.Cut(name, ":")
	schema, rest, _ := strings.Cut(rest, ":")
	return rest, schema == ""
}

// indexKey makes lookupKey find key. It is called before a flight for key does anything.
func (c *Cache[K, V]) indexKey(key K) {
	if c.parseKey != nil {
		return
	}
	c.keys.add(c.opts.Key(key), key, func(k K) bool {
		// In this order: a flight stores its value before it ends.
		if c.reads.Has(k) || c.loads.Has(k) {
			return true
		}
		if _, ok := c.local.Peek(k); ok {
			return true
		}
		_, ok := c.local.Stale(k)
		return ok
	})
}

// lookupKey returns the key that Options.Key writes as name, if this instance may hold
// anything for that key.
func (c *Cache[K, V]) lookupKey(name string) (K, bool) {
	if c.parseKey != nil {
		return c.parseKey(name)
	}
	return c.keys.find(name)
}
