package cache

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/loader"
)

// A cache without a local tier asks the remote tier at each call. A read that began before a
// call does not answer the call:
//
//  1. A read gets the old value from the remote tier.
//  2. Another instance invalidates the key. Its Invalidate returns nil.
//  3. A call begins, and joins the read.
//
// So a call joins a read only if the read began after the call.

// nextTurn numbers calls, flights, reads and loads in the order in which they begin.
func (c *Cache[K, V]) nextTurn() uint64 { return c.turns.Add(1) }

// readRemote answers a call of Get.
func (c *Cache[K, V]) readRemote(ctx context.Context, key K) (answer[V], error) {
	a, err := c.askRemote(ctx, c.newFetch(key, nil, 0))
	return a.unlessStale(), err
}

// unlessStale is the answer for a caller that does not load, of a read that may be that of a
// caller that does.
func (a answer[V]) unlessStale() answer[V] {
	if a.stale {
		return answer[V]{err: ErrMiss, complete: a.complete}
	}
	return a
}

// loadRemote answers a call of GetOrLoad. A load that began before the call answers the call
// too, if the log was read to its end after the call began and the load's flight can still
// be joined: then nobody had invalidated the key by that time. Otherwise a load that began
// after the call has to answer.
func (c *Cache[K, V]) loadRemote(ctx context.Context, key K, load func(context.Context, K) (V, error)) (answer[V], error) {
	asked, start := c.nextTurn(), time.Now()
	t := c.newFetch(key, load, 0)
	a, err := c.askRemote(ctx, t)
	if err != nil || a.entry != nil {
		return a, err
	}
	return c.loadMissed(ctx, t, a.complete, asked, start)
}

// loadMissed loads the key of t, whose look-up is a miss, for a call that began at start as the
// turn asked. complete is that of the miss.
func (c *Cache[K, V]) loadMissed(ctx context.Context, t *fetch[K, V], complete bool, asked uint64, start time.Time) (answer[V], error) {
	key, m := t.key, t.member
	if t.old != nil && c.loads.Interim(key) && time.Since(t.old.since) < c.window() {
		return t.old.answer(t.old.entry), nil // the load takes long
	}
	// The epoch is taken now, when the entries that the log had at the look-up are delivered.
	epoch, notBefore := c.invalidations.Epoch(), uint64(0)
	spent := time.Since(start)
	if !t.seen.done { // another caller's read answered
		t.budget = c.budgetLess(spent)
	}
	for {
		a, err := c.loads.Do(ctx, key, m.work(loader.Work[answer[V]]{
			Load: t.run, Born: c.nextTurn(), NotBefore: notBefore, Patience: remainder(c.patience(), spent),
			Interim: c.opts.LoadSoftTimeout > 0, Need: c.loadNeeds(ctx),
		}))
		if err != nil || a.entry == nil {
			return a, err
		}
		// A value from before the flight may be invalid, although the flight is not doomed.
		current := complete && !a.standsIn || a.turn > asked
		if current && c.isCurrent(a, epoch) {
			return a, nil
		}
		t, complete, notBefore = c.newFetch(key, t.load, spent), false, asked
	}
}

// askRemote looks t's key up in the remote tier, after the fill of a value that was loaded
// here.
func (c *Cache[K, V]) askRemote(ctx context.Context, t *fetch[K, V]) (answer[V], error) {
	asked := c.nextTurn()
	t.budget.left -= c.loads.Settle(ctx, t.key, c.patience())
	work := loader.Work[answer[V]]{
		Load: func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
			return t.readOnly(ctx, f), nil
		},
		Born: c.nextTurn(), NotBefore: asked,
	}
	if c.mayLookUp(ctx) {
		work.Quick = func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error, bool) {
			return t.readOnly(ctx, f), nil, true
		}
	}
	return c.reads.Do(ctx, t.key, work)
}

// complete reports whether this fetch has read the remote tier, and this instance has applied
// every invalidation from before the read.
func (t *fetch[K, V]) complete() bool { return t.seen.done && t.seen.err == nil && t.seen.rec.Complete }
