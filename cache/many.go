package cache

import (
	"context"
	"math/rand/v2"
	"slices"
)

// maxTogether is how many keys a call with many keys works on at a time.
const maxTogether = 10_000

// GetMany returns those of keys that a tier has, like Get, and never loads. A key that no tier
// has, or that is remembered as not found, is left out. It asks the remote tier for all keys
// that the local tier does not have in as few round trips as the remote tier can: one for each
// node of Redis and 1,000 keys. Its errors are ErrClosed and ctx's own; what was found until
// then is returned beside the error.
func (c *Cache[K, V]) GetMany(ctx context.Context, keys []K) (map[K]V, error) {
	return c.many(ctx, keys, nil)
}

// GetOrLoadMany returns the values of keys, like GetOrLoad for each of them, in few round trips
// and with one load.
//
// load receives the keys that no tier has, in the order of keys and each once, and returns their
// values. A key that load leaves out is not found: it is remembered for Options.NotFoundTTL,
// and left out of the result. Values of other keys are ignored. An error of load is the
// error of all keys that load was called with, and what load returns beside an error is
// ignored. load receives a context like that of a loader of GetOrLoad, but without a value
// for Previous.
//
// A key that a GetOrLoad or another GetOrLoadMany is loading is not loaded again: the call waits
// for that load. If it has waited for another instance's load in vain, load is called again for
// that key alone; then several calls of load may run at once. A load counts once for
// Options.MaxLoads, and its context ends after LoadTimeout, or when the last caller of each of
// its keys has left. Beyond 10,000 keys the call works on one part of 10,000 keys after the
// other, with a load each; after an error it does not look for the later parts. load must not
// ask the cache for the keys that it was called with. No other function of the Options or the
// Trace may ask the cache for keys of the call: the call works on many keys in turn, and would
// wait for itself.
//
// GetOrLoadMany returns what it has found, also beside an error. The error is that of the first
// key, in the order of keys, that has one: load's own, unchanged, ctx's own, ErrClosed or
// [loader.ErrGoexit]. ErrNotFound is no error here. A key that does not equal itself, such as a
// NaN, is never found. If load panics, GetOrLoadMany panics with a [*loader.Panic]. It panics if
// load is nil.
func (c *Cache[K, V]) GetOrLoadMany(ctx context.Context, keys []K, load func(context.Context, []K) (map[K]V, error)) (map[K]V, error) {
	if load == nil {
		panic("cache: GetOrLoadMany was given no function to load with")
	}
	return c.many(ctx, keys, load)
}

func (c *Cache[K, V]) many(ctx context.Context, keys []K, load func(context.Context, []K) (map[K]V, error)) (map[K]V, error) {
	found := make(map[K]V, len(keys))
	if !c.gate.enter() {
		return found, ErrClosed
	}
	defer c.gate.leave()
	if err := ctx.Err(); err != nil {
		return found, err
	}
	asked := make(map[K]struct{}, len(keys))
	var missing, touches []K
	var dues []due[K, V]
	for _, key := range keys {
		if _, again := asked[key]; again {
			continue
		}
		asked[key] = struct{}{}
		e, touch, ok := c.localOf(ctx, key, load != nil)
		if !ok {
			missing = append(missing, key)
			continue
		}
		if !e.notFound {
			found[key] = e.value
		}
		if touch {
			touches = append(touches, key)
		}
		if load != nil && e.early != nil {
			if draw := rand.ExpFloat64(); c.picksEntry(draw, e) {
				dues = append(dues, due[K, V]{key, e, draw})
			}
		}
	}
	c.touchLater(ctx, touches...)
	var err error
	for len(missing) > 0 && err == nil {
		part := missing[:min(len(missing), maxTogether)]
		missing = missing[len(part):]
		var stale []due[K, V]
		stale, err = newTogether(c, load).find(ctx, part, found)
		dues = append(dues, stale...)
	}
	for part := range slices.Chunk(dues, maxTogether) {
		c.revalidateMany(ctx, part, load)
	}
	return found, err
}

// localOf returns key's entry in the local tier, as a hit, and whether its TTL in the remote tier
// is due to be renewed.
func (c *Cache[K, V]) localOf(ctx context.Context, key K, loads bool) (e *entry[V], touch, ok bool) {
	e, touch, ok = c.local.Lookup(key)
	if !ok || e.epoch.Load() != c.invalidations.Epoch() && !c.revalidate(e) {
		return nil, false, false
	}
	if e.staleFor > 0 && !loads {
		c.counters.staleMisses.Add(1)
		return nil, false, false
	}
	_ = c.localHit(ctx, key, e, false) // the result knows what is not found
	return e, touch, true
}

// due is a value that a load in the background is to replace.
type due[K comparable, V any] struct {
	key   K
	entry *entry[V]
	draw  float64
}

// revalidateMany is revalidateLater for several keys, with one load.
func (c *Cache[K, V]) revalidateMany(ctx context.Context, dues []due[K, V], load func(context.Context, []K) (map[K]V, error)) {
	if int(c.revalidating.Add(1)) > c.opts.MaxLoads { // it counts once, whatever the number of keys
		c.revalidating.Add(-1)
		return
	}
	g := newTogether(c, load)
	g.atEnd = func() { c.revalidating.Add(-1) }
	g.replace(c.limit.Outside(context.WithoutCancel(ctx)), dues)
}
