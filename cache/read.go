package cache

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/loader"
)

// Get returns the value of key from the nearest tier that has the key, and never loads. Its
// errors are ErrMiss, ErrNotFound, ErrClosed and ctx's own. If the remote tier fails, the key
// is a miss.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (V, error) {
	if e, due, ok := c.local.Lookup(key); ok && (e.epoch.Load() == c.invalidations.Epoch() || c.revalidate(e)) {
		if due || e.notFound || e.staleFor > 0 || c.traced {
			if e.staleFor > 0 {
				return c.staleGet(ctx, key)
			}
			return e.value, c.localHit(ctx, key, e, due)
		}
		return e.value, nil
	}
	return c.readFlight(ctx, key)
}

// GetOrLoad returns the value of key from the nearest tier that has the key, or loads the
// value. All callers on this instance share one run of load for a key. While the remote tier
// answers, so do all callers of all instances.
//
// load receives the caller's key, and a context that has the values of the first caller's
// context. That context ends after Options.LoadTimeout, and when the last caller has left.
// The value of load is stored. An error of load is returned unchanged and not stored, except
// ErrNotFound, which is remembered for Options.NotFoundTTL. If load panics, its callers panic
// with a [*loader.Panic]. load may use the cache, for other keys: a load that asks for its
// own key waits for itself, and gets its context's error after Options.LoadTimeout.
//
// If ctx ends first, GetOrLoad returns ctx.Err() and does not wait for the load. One caller
// is an exception: the caller that starts a flight asks the remote tier on its own goroutine,
// so its cancellation takes effect only after that look-up, at most Remote.Budget later. A
// ctx whose deadline lies within the budget is never held up.
//
// GetOrLoad never returns a failure of the remote tier. Besides load's errors and ctx's own,
// it returns ErrNotFound for a key that is remembered as not found, ErrClosed, and
// [loader.ErrGoexit]. It panics if load is nil.
func (c *Cache[K, V]) GetOrLoad(ctx context.Context, key K, load func(context.Context, K) (V, error)) (V, error) {
	if load == nil {
		panic("cache: GetOrLoad was given no function to load with")
	}
	if e, due, ok := c.local.Lookup(key); ok && (e.epoch.Load() == c.invalidations.Epoch() || c.revalidate(e)) {
		if e.early != nil {
			c.replaceEarly(ctx, key, load, e)
		}
		if due || e.notFound || e.staleFor > 0 || c.traced {
			return e.value, c.localHit(ctx, key, e, due)
		}
		return e.value, nil
	}
	return c.loadFlight(ctx, key, load)
}

// revalidate reports whether a local entry that was hit is valid, although something was
// dropped since the entry was last found valid.
func (c *Cache[K, V]) revalidate(e *entry[V]) bool {
	if c.invalidations.Revalidate(e.tags, &e.epoch) {
		return true
	}
	c.counters.invalidLocals.Add(1)
	return false
}

// localHit does the work that few local hits need, and returns the call's error.
func (c *Cache[K, V]) localHit(ctx context.Context, key K, e *entry[V], due bool) error {
	if due {
		c.touchLater(ctx, key)
	}
	if c.opts.Trace.Hit != nil {
		c.opts.Trace.Hit(ctx, HitInfo{Key: c.opts.Key(key), Tier: TierLocal, NotFound: e.notFound, Stale: e.staleFor > 0})
	}
	switch {
	case e.notFound:
		c.counters.localNotFoundHits.Add(1)
		return ErrNotFound
	case e.staleFor > 0:
		c.counters.localStaleHits.Add(1)
	}
	return nil
}

// staleGet is a Get that the local tier has answered with a value that stands in for a load.
func (c *Cache[K, V]) staleGet(ctx context.Context, key K) (V, error) {
	c.counters.staleMisses.Add(1)
	return c.readFlight(ctx, key)
}

// answer is the result of a flight, for each of its callers.
type answer[V any] struct {
	entry *entry[V] // nil without a value: an error, or a miss of Get
	from  Tier      // none for a loaded value
	err   error     // for the callers; a flight's own error never comes from its loader
	epoch uint64    // of the invalidations, before the value was read or loaded
	turn  uint64    // in which the load began, or the tier was asked

	standsIn bool    // the value was there before the flight, which was to replace it
	stale    bool    // the TTL of the value has ended
	due      bool    // a load in the background is to replace the value
	draw     float64 // what has picked a fresh value that is due

	complete bool // of a miss: this instance has applied every invalidation from before the look-up
}

// notFound reports whether the answer is that the source has no such key.
func (a answer[V]) notFound() bool { return a.entry != nil && a.entry.notFound }

// readFlight and loadFlight are functions of their own to keep a flight's variables off the
// stack of a local hit.
func (c *Cache[K, V]) readFlight(ctx context.Context, key K) (V, error) {
	return c.join(ctx, key, func() (answer[V], error) { return c.read(ctx, key) })
}

// read finds the answer to a Get.
func (c *Cache[K, V]) read(ctx context.Context, key K) (answer[V], error) {
	if c.opts.RemoteOnly {
		return c.readRemote(ctx, key)
	}
	spent := c.loads.Settle(ctx, key, c.patience()) // the fill of a value that was loaded here
	return c.share(ctx, &c.reads, key, func() loader.Work[answer[V]] {
		t := c.newFetch(key, nil, spent)
		return loader.Work[answer[V]]{
			Quick: func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error, bool) {
				return t.readOnly(ctx, f), nil, true
			},
			Load: func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
				return t.readOnly(ctx, f), nil
			},
		}
	})
}

func (c *Cache[K, V]) loadFlight(ctx context.Context, key K, load func(context.Context, K) (V, error)) (V, error) {
	return c.join(ctx, key, func() (answer[V], error) {
		a, err := c.findOrLoad(ctx, key, load)
		if err == nil && a.due {
			c.revalidateLater(ctx, key, load, a.entry, a.draw)
		}
		return a, err
	})
}

func (c *Cache[K, V]) findOrLoad(ctx context.Context, key K, load func(context.Context, K) (V, error)) (answer[V], error) {
	if c.opts.RemoteOnly {
		return c.loadRemote(ctx, key, load)
	}
	if a, ok := c.standby(key); ok {
		return a, nil
	}
	return c.share(ctx, &c.loads, key, func() loader.Work[answer[V]] {
		t := c.newFetch(key, load, 0)
		return loader.Work[answer[V]]{
			Quick: t.lookup, Load: t.run, Patience: c.patience(), Interim: c.opts.LoadSoftTimeout > 0, Need: c.loadNeeds(ctx),
		}
	})
}

// join finds an answer for one caller, and counts the outcome.
func (c *Cache[K, V]) join(ctx context.Context, key K, find func() (answer[V], error)) (V, error) {
	var zero V
	if !c.gate.enter() {
		return zero, ErrClosed
	}
	defer c.gate.leave()
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	a, err := find()
	if err != nil {
		return zero, err
	}
	c.count(ctx, key, a)
	return a.value()
}

func (a answer[V]) value() (V, error) {
	if a.entry == nil {
		var zero V
		return zero, a.err
	}
	return a.entry.value, a.err
}

// share returns the answer of key's flight in g. If g has none, share starts a flight with
// the work that begin returns. A flight that began before this caller may be too old for the
// caller, because of a tag that nobody could know:
//
//  1. A load reads the source.
//  2. The source is written to. InvalidateTags of a tag of the value returns.
//  3. A caller joins the flight of the load. The flight is not doomed, because only the value
//     has the tags.
//
// Then share starts another flight, which no tag that was dropped before step 3 can make
// invalid.
func (c *Cache[K, V]) share(ctx context.Context, g *loader.Group[K, answer[V]], key K, begin func() loader.Work[answer[V]]) (answer[V], error) {
	asked, notBefore := c.invalidations.Epoch(), uint64(0)
	for {
		work := begin()
		work.Born, work.NotBefore = c.invalidations.Epoch(), notBefore
		if !c.mayLookUp(ctx) {
			work.Quick = nil
		}
		a, err := g.Do(ctx, key, work)
		if err != nil || c.isCurrent(a, asked) {
			return a, err
		}
		notBefore = asked
	}
}

// isCurrent reports whether no tag that was dropped before an epoch makes the answer invalid.
func (c *Cache[K, V]) isCurrent(a answer[V], epoch uint64) bool {
	return a.entry == nil || a.epoch >= epoch || c.invalidations.EntryValid(a.entry.tags, &a.entry.epoch)
}

// patience is how long a caller waits until the tiers hold a value that was loaded here for
// others. The wait is part of the caller's budget.
func (c *Cache[K, V]) patience() time.Duration {
	if c.opts.Remote == nil {
		return 0
	}
	return c.opts.Remote.Budget()
}

// loadNeeds is how long before its deadline a caller stops to wait for the load of another
// instance, and loads by itself: twice as long as a load takes on average, and half of the
// time that it has left at most.
func (c *Cache[K, V]) loadNeeds(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok || c.opts.Remote == nil {
		return 0
	}
	half := time.Until(deadline) / 2
	if average := time.Duration(c.loadTime.Load()); average > 0 {
		return min(times(average, 2), half)
	}
	return half
}

// noteLoadTime counts the duration of a load in the average, with a weight of an eighth.
// Loads that end at the same time may replace each other's share.
func (c *Cache[K, V]) noteLoadTime(took time.Duration) {
	average := c.loadTime.Load()
	if average == 0 {
		average = int64(took)
	}
	c.loadTime.Store(average + (int64(took)-average)/8)
}

// mayLookUp reports whether a caller may ask the tiers on its own goroutine, where the remote
// tier can hold the caller up for a budget. A caller whose deadline is nearer may not: that
// caller leaves at its deadline, and the look-up goes on without the caller.
func (c *Cache[K, V]) mayLookUp(ctx context.Context) bool {
	if c.opts.Remote == nil {
		return true
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > c.opts.Remote.Budget()
}

func (c *Cache[K, V]) count(ctx context.Context, key K, a answer[V]) {
	switch {
	case a.from == 0:
		c.counters.misses.Add(1)
		if c.opts.Trace.Miss != nil {
			c.opts.Trace.Miss(ctx, MissInfo{Key: c.opts.Key(key)})
		}
		return
	case a.stale:
		c.counters.staleHits.Add(1)
	case a.from == TierLocal && a.notFound():
		c.counters.lateLocalNotFoundHits.Add(1)
	case a.from == TierLocal:
		c.counters.lateLocalHits.Add(1)
	case a.notFound():
		c.counters.remoteNotFoundHits.Add(1)
	default:
		c.counters.remoteHits.Add(1)
	}
	if c.opts.Trace.Hit != nil {
		c.opts.Trace.Hit(ctx, HitInfo{Key: c.opts.Key(key), Tier: a.from, NotFound: a.notFound(), Stale: a.stale})
	}
}

// maxTouches bounds the touches that run at the same time. A touch that finds no place is
// left out: the next one is due soon.
const maxTouches = 64

// touchLater renews the TTLs of keys in the remote tier, in the background.
func (c *Cache[K, V]) touchLater(ctx context.Context, keys ...K) {
	if len(keys) == 0 || !c.gate.enter() {
		return
	}
	if c.touching.Add(1) > maxTouches {
		c.touching.Add(-1)
		c.gate.leave()
		return
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer c.gate.leave()
		defer c.touching.Add(-1)
		renewed, err := c.touch(ctx, keys)
		c.counters.touches.Add(uint64(renewed))
		if err != nil {
			c.remoteFailed(ctx, "touch", err)
		}
	}()
}

func (c *Cache[K, V]) touch(ctx context.Context, keys []K) (renewed int, err error) {
	if len(keys) == 1 {
		left, err := c.opts.Remote.Touch(ctx, c.remoteKey(keys[0]))
		if left > 0 {
			renewed = 1
		}
		return renewed, err
	}
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = c.remoteKey(key)
	}
	return c.opts.Remote.TouchMany(ctx, names)
}
