package cache

import (
	"context"
	"math/rand/v2"
	"time"
)

// With EarlyRevalidation a value is loaded again in the background before it ends, by XFetch:
// a read picks the value with a probability that depends on the time that is left and on how
// long the load took, so that a costly value is picked early, and mostly by one reader of a
// fleet. The algorithm is of A. Vattani, F. Chierichetti and K. Lowenstein, "Optimal
// Probabilistic Cache Stampede Prevention", VLDB 2015: a read at the time now loads if
//
//	now - load x beta x ln(random) >= end,    with random evenly distributed in (0, 1]

// early is what XFetch asks of a local entry.
type early struct {
	end  time.Time     // of the value; no read of the entry puts it off
	load time.Duration // how long the load took
}

// endsEarly notes that the value of e ends after a time, for a cache with EarlyRevalidation.
func (c *Cache[K, V]) endsEarly(e *entry[V], load, left time.Duration) {
	if c.opts.EarlyRevalidation > 0 && e != nil && !e.notFound && load > 0 {
		e.early = &early{time.Now().Add(left), load}
	}
}

// picks reports whether a draw picks a value. A draw is -ln(random), as of rand.ExpFloat64.
func (c *Cache[K, V]) picks(draw float64, load, left time.Duration) bool {
	return load > 0 && draw*c.opts.EarlyRevalidation*float64(load) >= float64(left)
}

func (c *Cache[K, V]) picksEntry(draw float64, e *entry[V]) bool {
	return e.early != nil && c.picks(draw, e.early.load, time.Until(e.early.end))
}

// draw returns a draw for a fresh value of a record, if it picks the value; otherwise 0.
func (c *Cache[K, V]) draw(load, left time.Duration) float64 {
	if c.opts.EarlyRevalidation == 0 || load == 0 {
		return 0
	}
	if draw := rand.ExpFloat64(); c.picks(draw, load, left) {
		return draw
	}
	return 0
}

// replaceEarly loads key in the background if a draw picks the local entry e.
func (c *Cache[K, V]) replaceEarly(ctx context.Context, key K, load func(context.Context, K) (V, error), e *entry[V]) {
	if draw := rand.ExpFloat64(); c.picksEntry(draw, e) {
		c.revalidateLater(ctx, key, load, e, draw)
	}
}

// pickedEarly reports whether this flight is to replace a fresh value, which its draw picks. If
// the draw does not pick the value that the tiers have now, another load has replaced the
// value, or a read has renewed it.
func (t *fetch[K, V]) pickedEarly(load, left time.Duration) bool {
	return t.draw > 0 && t.c.picks(t.draw, load, left)
}
