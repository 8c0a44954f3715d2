package cache

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nearside-go/nearside/local"
)

// Invalidate declares the values of keys wrong. Call it after the write to the
// source has committed: once it has returned, with an error or without, no later
// call on this Cache returns a value that was loaded before, and a load that is
// under way is not stored.
//
// When it returns nil the remote tier has deleted the keys too, and the other
// instances are being told: they drop their local copies within the time that one
// entry of the log takes to reach them, milliseconds; while they cannot read the
// log, their copies expire, at most Options.Local.TTL after they were read. When it
// returns a [*RemoteError] the other instances may go on reading the old values
// from the remote tier; this one does not read these keys there until a later
// Invalidate of them succeeds, or MaxAge has passed. Reads of the keys make it try
// again in the background, with pauses of up to 5 s. Try again all the same, because the
// keys may not be read: an Invalidate can be repeated at will.
//
// It does not stop at ctx's end, because the write has been made: it takes the
// Remote's budget at most, or one for each few hundred keys if there are more and
// the Remote answers. Invalidating an absent key is no error.
func (c *Cache[K, V]) Invalidate(ctx context.Context, keys ...K) error {
	if !c.gate.enter() {
		return ErrClosed
	}
	defer c.gate.leave()
	if len(keys) == 0 {
		return nil
	}
	return c.invalidate(ctx, keys)
}

func (c *Cache[K, V]) invalidate(ctx context.Context, keys []K) error {
	keys = equalToThemselves(keys)
	return c.overwrite(ctx, "invalidate", keys, func(ctx context.Context, remoteKeys []string) error {
		return c.opts.Remote.Invalidate(ctx, remoteKeys, c.opts.HoldOff)
	})
}

// overwrite drops what this instance holds of keys, changes the remote tier, and
// drops again. The first drop ends the serving of old values early. The second
// one is what makes the difference:
//
//  1. The first drop removes the local copy. The remote record still stands.
//  2. A read misses, and its flight takes the old value from the remote tier.
//  3. The remote record is deleted.
//  4. The flight publishes the old value in the local tier.
//
// The second drop removes it, or dooms the flight if it has not got to step 4.
func (c *Cache[K, V]) overwrite(ctx context.Context, op string, keys []K, change func(context.Context, []string) error) error {
	c.drop(keys)
	if c.opts.Remote == nil || len(keys) == 0 {
		return nil
	}
	remoteKeys := c.remoteKeys(keys)
	ctx = context.WithoutCancel(ctx)
	mark := c.distrusted.now()
	// Settled before the second drop: a flight that is not doomed by that starts
	// after it, and sees this.
	err := c.settle(ctx, op, remoteKeys, mark, change(ctx, remoteKeys))
	c.drop(keys)
	return err
}

// equalToThemselves returns keys without those that do not equal themselves, of which no
// tier holds anything.
func equalToThemselves[K comparable](keys []K) []K {
	odd := func(k K) bool { return k != k }
	if !slices.ContainsFunc(keys, odd) {
		return keys
	}
	return slices.DeleteFunc(slices.Clone(keys), odd)
}

func (c *Cache[K, V]) remoteKeys(keys []K) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = c.remoteKey(k)
	}
	return names
}

// settle distrusts names, of keys or of tags, which the remote tier could not
// change for err, or trusts them again if there is none. It returns the error for
// the caller.
func (c *Cache[K, V]) settle(ctx context.Context, op string, names []string, mark int, err error) error {
	if err == nil {
		c.distrusted.settle(names, mark)
		return nil
	}
	if c.distrusted.add(names, c.opts.MaxAge) {
		c.opts.Logger.WarnContext(ctx, "too many invalidations failed; the remote tier is not read until the oldest values have gone",
			"cache", c.opts.Name, "for", c.opts.MaxAge)
	}
	c.remoteFailed(ctx, op, err)
	return &RemoteError{Op: op, Err: err}
}

// drop does what an invalidation of keys means for this instance: it stores nothing
// that is loaded within HoldOff, and has nothing of before.
func (c *Cache[K, V]) drop(keys []K) {
	if c.opts.HoldOff > 0 {
		c.banned.hold(c.remoteKeys(keys), c.opts.HoldOff)
	}
	c.dropLocal(keys)
}

// isBanned reports whether this instance is to store nothing for key.
func (c *Cache[K, V]) isBanned(key K) bool {
	return c.banned.any.Load() && c.banned.has(c.remoteKey(key))
}

// dropLocal dooms the flights of keys and removes their local copies, in this
// order: until it is doomed a flight may publish, and what it published is
// removed then.
func (c *Cache[K, V]) dropLocal(keys []K) {
	for _, k := range keys {
		c.reads.Doom(k)
		c.loads.Doom(k)
		c.local.Remove(k)
	}
}

// Set stores value under key, as a load that returned it would, and drops the
// local copy, so that this instance reads what the remote tier holds. It is
// rarely right: two writers can commit in one order and Set in the other, and
// the older value stays. Prefer Invalidate, and let the next read load.
//
// A load that is under way is not stored over it. Of a Set and an Invalidate that
// run side by side, either may win; under a tombstone, of a Mutate or of HoldOff,
// nothing is stored, and Set is an Invalidate, as it is of a value over
// Options.MaxPayload. Other instances drop their local
// copies as after an Invalidate. It returns the codec's error, or that of the tags,
// with nothing changed, a [*RemoteError], with the same consequences as that of
// Invalidate, or ErrClosed. Like Invalidate it does not stop at ctx's end.
func (c *Cache[K, V]) Set(ctx context.Context, key K, value V) error {
	if !c.gate.enter() {
		return ErrClosed
	}
	defer c.gate.leave()
	if key != key {
		return nil
	}
	start, drops := time.Now(), c.known.drops.Load()
	var stamp Position // from before the value's tags are known, which may be invalidated meanwhile
	if c.opts.Remote != nil {
		stamp = c.opts.Remote.Position(c.opts.Name)
	}
	ttl := c.lifetime(key, value)
	if ttl == 0 {
		return c.invalidate(ctx, []K{key})
	}
	e := c.newEntry(key, value)
	if err := checkEntry(e.tags); err != nil {
		return err
	}
	if c.opts.Remote == nil {
		e.checked.Store(drops)
		c.setLocal(ctx, key, e, c.aloneLife(ttl, false, start))
		return nil
	}
	payload, err := encode(c.opts.Codec, value)
	if err != nil {
		c.unencodable(ctx, key, err)
		return fmt.Errorf("cache: encode: %w", err)
	}
	if len(payload) > c.opts.MaxPayload {
		c.counters.overMaxPayload.Add(1)
		return c.invalidate(ctx, []K{key})
	}
	fill := Fill{Payload: payload, TTL: ttl, MaxAge: c.opts.MaxAge, Stamp: stamp, Tags: e.tags}
	err = c.overwrite(ctx, "set", []K{key}, func(ctx context.Context, remoteKeys []string) error {
		ctx, cancel := context.WithTimeoutCause(ctx, c.opts.Remote.Budget(), ErrBudget)
		defer cancel()
		lease, err := c.opts.Remote.Seize(ctx, remoteKeys[0], c.opts.LoadTimeout)
		switch {
		case err != nil || lease == nil: // a tombstone stands: nothing may be stored
		case c.banned.mutates(remoteKeys[0]): // one ought to stand
			_, err = lease.Release(ctx)
		default:
			var held bool
			if held, err = lease.Fill(ctx, fill); err != nil && !held {
				_, _ = lease.Release(ctx) // or others would wait for it
			}
		}
		if err != nil {
			return err
		}
		return c.opts.Remote.Announce(ctx, remoteKeys...)
	})
	if err == nil {
		c.recordLater(ctx, e.tags, stamp, drops)
	}
	return err
}

// setLocal stores e in a cache without a remote tier. Dooming and storing are one
// step: a load that started between the two would publish over e. Under a ban, and while
// the cache is being closed, nothing is stored.
func (c *Cache[K, V]) setLocal(ctx context.Context, key K, e *entry[V], life local.Lifetime) {
	cost := c.cost(key, e)
	var evicted []local.Evicted[K, *entry[V]]
	c.loads.DoomAnd(key, func() {
		if c.isBanned(key) || c.gate.isClosed() {
			c.local.Remove(key)
		} else {
			evicted = c.local.Add(key, e, cost, life)
		}
	})
	c.traceEvicted(ctx, evicted)
}
