package cache

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/loader"
)

// A cache without a local tier asks the remote tier at each call. Reads that began
// before a call do not answer it:
//
//  1. A read gets the old value from the remote tier.
//  2. Another instance invalidates the key. Its Invalidate returns nil.
//  3. A call begins, and joins the read.
//
// So a call joins a read only if that began after the call did.

// turn numbers calls, flights, reads and loads in the order in which they begin.
func (c *Cache[K, V]) turn() uint64 { return c.turns.Add(1) }

// readRemote answers a call of Get.
func (c *Cache[K, V]) readRemote(ctx context.Context, key K) (answer[V], error) {
	t := &fetch[K, V]{c: c, key: key}
	return c.askRemote(ctx, t)
}

// loadRemote answers a call of GetOrLoad. A load that began before the call answers it
// too if the log was read to its end after the call began, and the load's flight is
// still there to be joined: then nobody had invalidated its key by then. Without that, a
// load that began later has to answer.
func (c *Cache[K, V]) loadRemote(ctx context.Context, key K, load func(context.Context, K) (V, error)) (answer[V], error) {
	asked, start := c.turn(), time.Now()
	t := &fetch[K, V]{c: c, key: key, load: load}
	a, err := c.askRemote(ctx, t)
	if err != nil || a.entry != nil {
		return a, err
	}
	// Only now: what the log had when the remote tier was asked has been told.
	complete, drops, notBefore := a.complete, c.known.drops.Load(), uint64(0)
	spent := time.Since(start)
	if !t.looked { // another caller's read answered
		t.spent = spent
	}
	for {
		a, err := c.loads.Do(ctx, key, loader.Work[answer[V]]{
			Load: t.run, Born: c.turn(), NotBefore: notBefore, Patience: remainder(c.patience(), spent),
		})
		if err != nil || a.entry == nil {
			return a, err
		}
		current := complete || a.began > asked
		if current && (a.since >= drops || c.known.right(a.entry.tags, &a.entry.checked)) {
			return a, nil
		}
		t, complete, notBefore = &fetch[K, V]{c: c, key: key, load: load, spent: spent}, false, asked
	}
}

// askRemote looks for t's key in the remote tier, once a value that was loaded here is in
// it.
func (c *Cache[K, V]) askRemote(ctx context.Context, t *fetch[K, V]) (answer[V], error) {
	asked := c.turn()
	t.spent = c.loads.Settle(ctx, t.key, c.patience())
	work := loader.Work[answer[V]]{
		Load: func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
			return t.read(ctx, f), nil
		},
		Born: c.turn(), NotBefore: asked,
	}
	if c.mayLook(ctx) {
		work.Quick = func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error, bool) {
			return t.read(ctx, f), nil, true
		}
	}
	return c.reads.Do(ctx, t.key, work)
}

// complete reports whether this fetch has read the remote tier, and all that was
// invalidated before it did has been applied here.
func (t *fetch[K, V]) complete() bool { return t.looked && t.err == nil && t.rec.Complete }
