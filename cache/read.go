package cache

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/loader"
)

// answer is what a flight found out, for each of its callers.
type answer[V any] struct {
	value    V
	notFound bool
	from     Tier
	err      error // for the callers; a flight's own error never comes from its loader
}

// Get returns the value of key from the nearest tier that has it, and never
// loads. Its errors are ErrMiss, ErrNotFound, ErrClosed and ctx's own. A remote
// tier that fails is a miss.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (V, error) {
	if e, due, ok := c.local.Lookup(key); ok {
		return c.localHit(ctx, key, e, due)
	}
	return c.join(ctx, &c.reads, key, func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
		return (&fetch[K, V]{c: c, f: f, key: key}).read(ctx), nil
	})
}

// GetOrLoad returns the value of key from the nearest tier that has it, or what
// load returns. All callers on this instance, and while the remote tier answers
// all callers of all instances, share one run of load for one key.
//
// load is given the caller's key and a context that has the values of the first
// caller's, ends after Options.LoadTimeout, and ends when its last caller has
// left. Its value is stored, its error is returned unchanged and not stored, but
// for ErrNotFound, which is remembered for Options.NotFoundTTL. When it panics,
// its callers panic with a [*loader.Panic]. It may use the cache, for other keys.
//
// A caller whose ctx ends gets ctx's error at once. Besides that and load's
// errors GetOrLoad returns ErrNotFound, for a key that is remembered so,
// [loader.ErrGoexit] and ErrClosed, and never an error of the remote tier. It
// panics if load is nil.
func (c *Cache[K, V]) GetOrLoad(ctx context.Context, key K, load func(context.Context, K) (V, error)) (V, error) {
	if load == nil {
		panic("cache: GetOrLoad was given no function to load with")
	}
	if e, due, ok := c.local.Lookup(key); ok {
		return c.localHit(ctx, key, e, due)
	}
	return c.join(ctx, &c.loads, key, func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
		return (&fetch[K, V]{c: c, f: f, key: key, load: load}).run(ctx)
	})
}

func (c *Cache[K, V]) localHit(ctx context.Context, key K, e entry[V], due bool) (V, error) {
	if due {
		c.touchLater(ctx, key)
	}
	if c.opts.Trace.Hit != nil {
		c.opts.Trace.Hit(ctx, HitInfo{Key: c.opts.Key(key), Tier: Local, NotFound: e.notFound})
	}
	if e.notFound {
		c.counters.localNotFoundHits.Add(1)
		return e.value, ErrNotFound
	}
	return e.value, nil
}

// join shares key's flight in g and counts the outcome for this caller.
func (c *Cache[K, V]) join(ctx context.Context, g *loader.Group[K, answer[V]], key K,
	flight func(context.Context, *loader.Flight[answer[V]]) (answer[V], error)) (V, error) {
	var zero V
	if !c.gate.enter() {
		return zero, ErrClosed
	}
	defer c.gate.leave()
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	a, err := g.Do(ctx, key, flight)
	if err != nil {
		return zero, err
	}
	c.count(ctx, key, a)
	return a.value, a.err
}

func (c *Cache[K, V]) count(ctx context.Context, key K, a answer[V]) {
	switch {
	case a.from == Source:
		c.counters.misses.Add(1)
		if c.opts.Trace.Miss != nil {
			c.opts.Trace.Miss(ctx, MissInfo{Key: c.opts.Key(key)})
		}
		return
	case a.notFound:
		c.counters.remoteNotFoundHits.Add(1)
	default:
		c.counters.remoteHits.Add(1)
	}
	if c.opts.Trace.Hit != nil {
		c.opts.Trace.Hit(ctx, HitInfo{Key: c.opts.Key(key), Tier: a.from, NotFound: a.notFound})
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
