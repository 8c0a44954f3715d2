package cache

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/local"
)

// Invalidate invalidates the values of keys. Call Invalidate after the write to the source
// has committed. Once Invalidate has returned, with or without an error, no later call on
// this Cache returns a value that was loaded before, and a load that is under way is not
// stored.
//
// If Invalidate returns nil, the remote tier has deleted the keys too, and the log delivers
// them to the other instances, which drop their local copies within milliseconds. While an
// instance cannot read the log, its copies expire at most Options.Local.TTL after they were
// read. If Invalidate returns a [*RemoteError], other instances may go on reading the old
// values from the remote tier until the invalidation is made. The keys are queued: this
// instance attempts their invalidation in the background until it succeeds, or MaxAge and
// the longer window have passed, and until then does not read the keys from the remote tier. The pauses between the
// attempts are up to 5 s, and end when the Remote serves again. errors.Is tells ErrQueued from
// ErrRefused, for which somebody has to change the server's configuration. What is queued is
// in the process only: see Close. An Invalidate can be repeated any number of times.
//
// Instances whose caches have another Options.Schema keep their values: see there.
//
// Invalidate does not stop at ctx's end, because the write has been made. It takes the
// Remote's budget at most, or one budget for each few hundred keys while the Remote answers.
// Invalidating an absent key is no error.
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
	return c.overwriteKeys(ctx, "invalidate", equalToThemselves(keys), func(ctx context.Context, remoteKeys []string) error {
		return c.opts.Remote.Invalidate(ctx, remoteKeys, c.opts.HoldOff)
	})
}

// overwriteKeys is overwrite for the names of keys.
func (c *Cache[K, V]) overwriteKeys(ctx context.Context, op string, keys []K, change func(context.Context, []string) error) error {
	return c.overwrite(ctx, op, c.remoteKeys(keys), func() { c.drop(keys) }, change)
}

// overwrite drops names, of keys or of tags, on this instance, changes the remote tier, and drops
// them again. The first drop ends the serving of old values early. The second drop is needed:
//
//  1. The first drop removes the local copy. The remote record still stands.
//  2. A read misses, and its flight takes the old value from the remote tier.
//  3. The remote record is deleted.
//  4. The flight publishes the old value in the local tier.
//
// The second drop removes that value, or dooms the flight before step 4.
func (c *Cache[K, V]) overwrite(ctx context.Context, op string, names []string, drop func(), change func(context.Context, []string) error) (err error) {
	if len(names) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	drop()
	if c.opts.Remote != nil {
		round := c.journal.Round()
		// Settled before the second drop: a flight that the drop does not doom starts after the
		// drop, and sees the unconfirmed names.
		err = c.settle(ctx, op, names, round, change(ctx, names))
		drop()
	}
	if op != opGuard {
		c.traceInvalidate(ctx, names, false, err)
	}
	return err
}

// equalToThemselves returns keys without the keys that do not equal themselves, such as a
// NaN. No tier holds such a key.
func equalToThemselves[K comparable](keys []K) []K {
	unequal := func(k K) bool { return k != k }
	if !slices.ContainsFunc(keys, unequal) {
		return keys
	}
	return slices.DeleteFunc(slices.Clone(keys), unequal)
}

func (c *Cache[K, V]) remoteKeys(keys []K) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = c.remoteKey(k)
	}
	return names
}

// settle notes the outcome of an invalidation in the remote tier. names are names of keys
// or of tags. round is the number that journal.Round returned before the command was
// sent. If err is nil, settle notes that the remote tier has confirmed names, and returns
// nil. Otherwise settle notes that the names that have failed are unconfirmed, and returns
// err in a RemoteError.
func (c *Cache[K, V]) settle(ctx context.Context, op string, names []string, round int, err error) error {
	failed := remote.Failed(names, err)
	confirmed := remote.Without(names, failed)
	c.journal.Confirm(confirmed, round)
	c.remember(confirmed, op == opSet)
	if err == nil {
		return nil
	}
	c.queue(ctx, failed)
	c.remoteFailed(ctx, op, err)
	return &RemoteError{Cache: c.opts.Name, Op: op, Err: err}
}

// queue notes that names are unconfirmed.
func (c *Cache[K, V]) queue(ctx context.Context, names []string) {
	if replaced := c.journal.Add(names); replaced != nil {
		c.opts.Logger.WarnContext(ctx, "too many invalidations failed; the whole cache is invalidated in their place", "cache", c.opts.Name)
		_ = c.abandon(ctx, replaced) // the whole cache covers them
	}
}

const (
	// opSet is the operation of Set, whose record is not older than its entry in the log.
	opSet = "set"

	// opRedeliver is the operation of Redeliver, which queues nothing.
	opRedeliver = "redeliver"

	// opGuard is the operation that begins a Mutate, which invalidates at its end.
	opGuard = "guard"
)

// remember notes that names were invalidated, at the latest at the end of the log as this
// instance knows it. The log delivers the very position a moment later, unless the server loses
// the entry first. Keys of another Schema are not noted. replaced means that a Set has replaced
// the records.
func (c *Cache[K, V]) remember(names []string, replaced bool) {
	at := c.opts.Remote.Observed(c.opts.Name)
	_, asOf := c.opts.Remote.Delivered(c.opts.Name)
	for _, name := range names {
		if c.concerns(name) {
			c.memory.Add(name, at, asOf, replaced)
		}
	}
}

// drop applies an invalidation of keys to this instance: the instance drops the keys, and
// stores no value that is loaded within HoldOff.
func (c *Cache[K, V]) drop(keys []K) {
	if c.opts.HoldOff > 0 {
		c.guarded.Hold(c.remoteKeys(keys), c.opts.HoldOff)
	}
	c.dropLocal(keys)
}

// isGuarded reports whether this instance must not store a value of key.
func (c *Cache[K, V]) isGuarded(key K) bool {
	return c.guarded.Any() && c.guarded.Has(c.remoteKey(key))
}

// dropLocal dooms the flights of keys, and removes the local copies.
func (c *Cache[K, V]) dropLocal(keys []K) {
	for _, k := range keys {
		c.doomAnd(k, func() { c.local.Remove(k) })
	}
}

// doomAnd dooms the flights of key, and changes its local copy, in one step. The doom comes
// first, because a flight may publish a copy until it is doomed. In two steps a flight could
// start in between:
//
//  1. The flights are doomed.
//  2. A flight starts, and finds the copy.
//  3. The copy is removed, and Invalidate returns.
//  4. A call begins, misses the copy, and joins the flight.
//
// The call would return a value that was invalidated before the call began.
//
// Lock order: the lock of reads before the lock of loads.
func (c *Cache[K, V]) doomAnd(key K, change func()) {
	c.reads.DoomAnd(key, func() { c.loads.DoomAnd(key, change) })
}

// Set stores value under key, as if a load had returned the value, and drops the local copy,
// so that this instance reads the remote tier next. Set is rarely right: two writers can
// commit in one order and call Set in the other, and the older value stays. Prefer
// Invalidate, and let the next read load.
//
// A load that is under way is not stored over the value. If a Set and an Invalidate run at
// the same time, either may win. While a tombstone stands, of a Mutate or of HoldOff, and for
// a value over Options.MaxPayload, Set stores nothing and is an Invalidate. Other instances
// drop their local copies as after an Invalidate. Set returns the error of the codec or of
// the tags, with nothing changed; a [*RemoteError], with the consequences of Invalidate's;
// or ErrClosed. Like Invalidate, Set does not stop at ctx's end.
func (c *Cache[K, V]) Set(ctx context.Context, key K, value V) error {
	if !c.gate.enter() {
		return ErrClosed
	}
	defer c.gate.leave()
	if key != key {
		return nil
	}
	start, epoch := time.Now(), c.invalidations.Epoch()
	var stamp remote.Position // from before Tags is called: a tag may be invalidated at the same time
	if c.opts.Remote != nil {
		stamp = c.opts.Remote.Observed(c.opts.Name)
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
		e.epoch.Store(epoch)
		c.setLocal(ctx, key, e, c.unfencedLifetime(ttl, false, start))
		c.traceInvalidate(ctx, c.remoteKeys([]K{key}), false, nil)
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
	fill := remote.Fill{Payload: payload, TTL: ttl, MaxAge: c.opts.MaxAge, Window: c.windowOf(false, ttl), Stamp: stamp, Tags: e.tags}
	err = c.overwriteKeys(ctx, opSet, []K{key}, func(ctx context.Context, remoteKeys []string) error {
		return c.setRemote(ctx, remoteKeys[0], fill)
	})
	if err == nil {
		c.recordLater(ctx, e.tags, stamp, epoch)
	}
	return err
}

// setRemote stores a value in the remote tier, within one budget, and appends the key to the
// log.
func (c *Cache[K, V]) setRemote(ctx context.Context, remoteKey string, fill remote.Fill) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.Remote.Budget(), remote.ErrBudget)
	defer cancel()
	lease, err := c.opts.Remote.Seize(ctx, remoteKey, c.opts.LoadTimeout)
	switch {
	case err != nil || lease == nil: // a tombstone stands: nothing may be stored
	case c.guarded.Mutating(remoteKey): // a tombstone should stand
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
	return c.opts.Remote.Announce(ctx, remoteKey)
}

// setLocal stores e in a cache without a remote tier. With dooming and storing in two steps,
// a load that starts in between would publish over e. Nothing is stored for a guarded key, and
// while the cache is being closed.
func (c *Cache[K, V]) setLocal(ctx context.Context, key K, e *entry[V], life lifetime) {
	cost := c.cost(key, e)
	var evicted []local.Evicted[K, *entry[V]]
	c.doomAnd(key, func() {
		if c.isGuarded(key) || c.gate.isClosed() {
			c.local.Remove(key)
		} else {
			evicted = c.local.Add(key, e, cost, life.Lifetime)
		}
	})
	c.traceEvicted(ctx, evicted)
}
