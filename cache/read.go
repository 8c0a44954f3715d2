package cache

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/loader"
)

// answer is what a flight found out, for each of its callers.
type answer[V any] struct {
	entry *entry[V] // nil if there is none: an error, or a miss of Get
	from  Tier      // none for what was loaded
	err   error     // for the callers; a flight's own error never comes from its loader
	since uint64    // the last of known.drops before it was read or loaded
	began uint64    // the turn in which its load began, or the tier was asked

	complete bool // of a miss: all that was invalidated before the tier was asked has been applied here
}

// notFound reports whether the answer is that the source has no such key.
func (a answer[V]) notFound() bool { return a.entry != nil && a.entry.notFound }

// Get returns the value of key from the nearest tier that has it, and never
// loads. Its errors are ErrMiss, ErrNotFound, ErrClosed and ctx's own. A remote
// tier that fails is a miss.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (V, error) {
	if e, due, ok := c.local.Lookup(key); ok && (e.checked.Load() == c.known.drops.Load() || c.recheck(e)) {
		if due || e.notFound || c.traced {
			return e.value, c.localHit(ctx, key, e.notFound, due)
		}
		return e.value, nil
	}
	return c.readFlight(ctx, key)
}

// GetOrLoad returns the value of key from the nearest tier that has it, or what
// load returns. All callers on this instance, and while the remote tier answers
// all callers of all instances, share one run of load for one key.
//
// load is given the caller's key and a context that has the values of the first
// caller's, ends after Options.LoadTimeout, and ends when its last caller has
// left. Its value is stored, its error is returned unchanged and not stored, but
// for ErrNotFound, which is remembered for Options.NotFoundTTL. When it panics,
// its callers panic with a [*loader.Panic]. It may use the cache, for other keys: a
// load that asks for its own key waits for itself, and gets its context's error after
// Options.LoadTimeout.
//
// A caller whose ctx ends gets ctx's error at once; but the one who is asking the
// remote tier for all, if it is cancelled and has no deadline within the budget,
// when that has answered, or the budget is over. Besides that and load's
// errors GetOrLoad returns ErrNotFound, for a key that is remembered so,
// [loader.ErrGoexit] and ErrClosed, and never an error of the remote tier. It
// panics if load is nil.
func (c *Cache[K, V]) GetOrLoad(ctx context.Context, key K, load func(context.Context, K) (V, error)) (V, error) {
	if load == nil {
		panic("cache: GetOrLoad was given no function to load with")
	}
	if e, due, ok := c.local.Lookup(key); ok && (e.checked.Load() == c.known.drops.Load() || c.recheck(e)) {
		if due || e.notFound || c.traced {
			return e.value, c.localHit(ctx, key, e.notFound, due)
		}
		return e.value, nil
	}
	return c.loadFlight(ctx, key, load)
}

// recheck reports whether a local entry that was hit may be used although something was
// dropped since it was last found right.
func (c *Cache[K, V]) recheck(e *entry[V]) bool {
	if c.known.recheck(e.tags, &e.checked) {
		return true
	}
	c.counters.wrongLocals.Add(1)
	return false
}

// readFlight and loadFlight are functions of their own to keep what a flight
// needs off the stack of a local hit.
func (c *Cache[K, V]) readFlight(ctx context.Context, key K) (V, error) {
	return c.join(ctx, key, func() (answer[V], error) {
		if c.opts.RemoteOnly {
			return c.readRemote(ctx, key)
		}
		spent := c.loads.Settle(ctx, key, c.patience()) // a value that was loaded here
		return c.share(ctx, &c.reads, key, func() loader.Work[answer[V]] {
			t := &fetch[K, V]{c: c, key: key, spent: spent}
			return loader.Work[answer[V]]{
				Quick: func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error, bool) {
					return t.read(ctx, f), nil, true
				},
				Load: func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
					return t.read(ctx, f), nil
				},
			}
		})
	})
}

func (c *Cache[K, V]) loadFlight(ctx context.Context, key K, load func(context.Context, K) (V, error)) (V, error) {
	return c.join(ctx, key, func() (answer[V], error) {
		if c.opts.RemoteOnly {
			return c.loadRemote(ctx, key, load)
		}
		return c.share(ctx, &c.loads, key, func() loader.Work[answer[V]] {
			t := &fetch[K, V]{c: c, key: key, load: load}
			return loader.Work[answer[V]]{Quick: t.look, Load: t.run, Patience: c.patience()}
		})
	})
}

// localHit does what a local hit seldom asks for, and returns the call's error.
func (c *Cache[K, V]) localHit(ctx context.Context, key K, notFound, due bool) error {
	if due {
		c.touchLater(ctx, key)
	}
	if c.opts.Trace.Hit != nil {
		c.opts.Trace.Hit(ctx, HitInfo{Key: c.opts.Key(key), Tier: TierLocal, NotFound: notFound})
	}
	if notFound {
		c.counters.localNotFoundHits.Add(1)
		return ErrNotFound
	}
	return nil
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
	if a.entry == nil {
		return zero, a.err
	}
	return a.entry.value, a.err
}

// share returns the answer of key's flight in g, or of one that it starts with the
// work that begin returns. A flight that was under way may be too
// old for this caller, because of a tag that it could not know:
//
//  1. A load reads the source.
//  2. The source is written to. InvalidateTags of a tag of the value returns.
//  3. A caller joins the flight of the load, which is not doomed: only the value
//     tells what tags it has.
//
// It starts another, which no tag dropped before step 3 can make wrong.
func (c *Cache[K, V]) share(ctx context.Context, g *loader.Group[K, answer[V]], key K, begin func() loader.Work[answer[V]]) (answer[V], error) {
	asked, notBefore := c.known.drops.Load(), uint64(0)
	for {
		work := begin()
		work.Born, work.NotBefore = c.known.drops.Load(), notBefore
		if !c.mayLook(ctx) {
			work.Quick = nil
		}
		a, err := g.Do(ctx, key, work)
		if err != nil || a.entry == nil || a.since >= asked || c.known.right(a.entry.tags, &a.entry.checked) {
			return a, err
		}
		notBefore = asked
	}
}

// patience is how long a caller waits until a value that was loaded here for others is
// in the tiers. It is of the caller's budget.
func (c *Cache[K, V]) patience() time.Duration {
	if c.opts.Remote == nil {
		return 0
	}
	return c.opts.Remote.Budget()
}

// mayLook reports whether a caller may ask the tiers on its own goroutine, and so
// be bound to the remote one for as long as the budget. One with less time may
// not: it leaves at its deadline, and get goes on without it.
func (c *Cache[K, V]) mayLook(ctx context.Context) bool {
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
		c.opts.Trace.Hit(ctx, HitInfo{Key: c.opts.Key(key), Tier: a.from, NotFound: a.notFound()})
	}
}

// maxTouches bounds the touches that run side by side. One that finds no place
// is left out: the next one is due soon.
const maxTouches = 64

// touchLater renews key's TTL in the remote tier, in the background.
func (c *Cache[K, V]) touchLater(ctx context.Context, key K) {
	if !c.gate.enter() {
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
		left, err := c.opts.Remote.Touch(ctx, c.remoteKey(key))
		if err != nil {
			c.remoteFailed(ctx, "touch", err)
		} else if left > 0 {
			c.counters.touches.Add(1)
		}
	}()
}

// budget hands what one call may spend on the remote tier from command to
// command.
type budget struct{ left time.Duration }

// spend runs a command unless the budget is gone.
func (b *budget) spend(command func() error) error {
	if b.left <= 0 {
		return context.DeadlineExceeded
	}
	start := time.Now()
	err := command()
	b.left -= time.Since(start)
	return err
}
