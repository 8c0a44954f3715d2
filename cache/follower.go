package cache

import (
	"context"
	"strings"
)

// follower applies the log to a cache.
type follower[K comparable, V any] struct{ c *Cache[K, V] }

// Since drops the local tier, unless nothing was missed.
func (f follower[K, V]) Since(at Position, complete bool) {
	lost, first := f.c.known.begin(at, complete)
	if !lost {
		return
	}
	f.c.local.Clear()
	if first {
		return
	}
	f.c.counters.gaps.Add(1)
	// Debug: the Store has told of the gap, once for all its caches.
	f.c.opts.Logger.Debug("invalidations may have been missed; the local tier was dropped", "cache", f.c.opts.Name)
	if f.c.opts.Trace.Gap != nil {
		f.c.opts.Trace.Gap(context.Background())
	}
}

func (f follower[K, V]) Lost() { f.c.known.lose() }

// Invalidated silences and drops what another instance invalidated. A flight may have
// read the old value from the remote tier, before that was deleted:
//
//  1. The flight reads the old value.
//  2. Another instance deletes the record, and appends the key to the log.
//  3. The entry arrives, and drops the local copy.
//  4. The flight publishes the old value in the local tier.
//
// It is silenced at step 3, because it was registered before step 1. The entry comes
// after the deletion, so that no flight that starts after step 3 reads the old value.
// With the entry before the deletion, one could. It is not doomed: a load may have begun
// after the deletion, and before the entry arrived, and whether it may fill the remote
// tier is for its lease to say, which is gone if it was granted before.
//
// Of a tag the position is noted first. If it were dropped first:
//
//  1. The tag is dropped.
//  2. A flight begins, and reads a record with the tag. By what is known it is right.
//  3. The position is noted, by which it is wrong.
func (f follower[K, V]) Invalidated(name string, at Position, own bool) {
	c := f.c
	if tag, ok := strings.CutPrefix(name, c.tagPrefix); ok {
		c.known.told(tag, at)
		if !own {
			c.known.drop(tag)
			c.toldOf(name)
		}
		return
	}
	rest, ok := strings.CutPrefix(name, c.prefix)
	if own || !ok {
		return
	}
	c.banned.hold([]string{name}, c.opts.HoldOff)
	if key, ok := c.lookupKey(rest); ok {
		c.reads.Silence(key)
		c.loads.Silence(key)
		c.local.Remove(key)
	}
	c.toldOf(name)
}

func (c *Cache[K, V]) toldOf(name string) {
	c.counters.told.Add(1)
	if c.opts.Trace.Told != nil {
		_, rest, _ := strings.Cut(name, ":")
		schema, rest, _ := strings.Cut(rest, ":")
		c.opts.Trace.Told(context.Background(), ToldInfo{Name: rest, Tag: schema == ""})
	}
}

// index makes lookupKey find key. It is called before a flight for key does anything.
func (c *Cache[K, V]) index(key K) {
	if c.parseKey != nil {
		return
	}
	c.keys.add(c.opts.Key(key), key, func(k K) bool {
		// In this order: a flight stores its value before it ends.
		if c.reads.Has(k) || c.loads.Has(k) {
			return true
		}
		_, ok := c.local.Peek(k)
		return ok
	})
}

// lookupKey returns the key that Options.Key writes as name, if this instance may hold
// anything for it.
func (c *Cache[K, V]) lookupKey(name string) (K, bool) {
	if c.parseKey != nil {
		return c.parseKey(name)
	}
	return c.keys.find(name)
}
