package cache

import (
	"math/rand/v2"
	"time"

	"github.com/nearside-go/nearside/local"
)

// touchFraction of the TTL has to be gone before a read renews it in the remote
// tier: a renewal is a write, which goes to replicas and to the log on disk.
const touchFraction = 8

// lifetime is the TTL of a loaded value, with jitter; 0 if it is not to be kept.
func (c *Cache[K, V]) lifetime(key K, value V) time.Duration {
	ttl := c.opts.TTL
	if c.opts.TTLOf != nil {
		ttl = min(c.opts.TTLOf(key, value), c.opts.MaxAge)
	}
	return c.jitter(max(ttl, 0))
}

// jitter returns a duration in [d x (1 - Jitter), d].
func (c *Cache[K, V]) jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Float64()*c.opts.Jitter*float64(d))
}

// copyLife is the lifetime of a local copy of rec, which was known to be right at that
// time. It ends with rec, or before: reads of the copy do not renew it, because what it
// can miss of the other instances' writes is bounded by its age. They renew rec instead.
//
// It is known to be right until the log was last heard of, and not until it was read:
//
//  1. The connection of the log dies, and nobody notices yet.
//  2. Another instance invalidates a tag of the record. This one is not told.
//  3. It reads the record, and takes it for right.
//
// If the copy were trusted from step 3 on, it would be served for longer than Local.TTL
// after step 2.
func (c *Cache[K, V]) copyLife(rec Record, right time.Time) local.Lifetime {
	trusted := remainder(c.jitter(c.opts.Local.TTL), time.Since(right))
	life := local.Lifetime{TTL: min(trusted, remainder(rec.Left, time.Since(rec.Asked)))}
	if !c.opts.FixedTTL && !rec.NotFound {
		life.RenewEvery = max(rec.TTL/touchFraction, 1)
		life.RenewIn = remainder(life.RenewEvery, remainder(rec.TTL, rec.Left))
	}
	return life
}

// loneLife is the lifetime of the local entry of a value whose load began then, and
// which was known to be right later, that the remote tier has no record of. It is a copy
// like any other, with nothing to renew.
func (c *Cache[K, V]) loneLife(ttl time.Duration, began, right time.Time) local.Lifetime {
	trusted := remainder(c.jitter(c.opts.Local.TTL), time.Since(right))
	return local.Lifetime{TTL: min(trusted, ttl, remainder(c.opts.MaxAge, time.Since(began)))}
}

// aloneLife is the lifetime of a local entry that the remote tier has no record
// of, whose load started then. If that is because the remote tier is ill, the
// entry is a copy like any other, with nothing to renew; it is trusted since the
// start of its load, because nothing fenced that load.
func (c *Cache[K, V]) aloneLife(ttl time.Duration, notFound bool, start time.Time) local.Lifetime {
	if c.opts.Remote != nil {
		return c.loneLife(ttl, start, start)
	}
	end := c.opts.MaxAge
	if c.opts.Local.TTL > 0 {
		end = min(end, c.jitter(c.opts.Local.TTL))
	}
	end = remainder(end, time.Since(start))
	if c.opts.FixedTTL || notFound {
		return local.Lifetime{TTL: min(ttl, end)}
	}
	return local.Lifetime{TTL: min(ttl, end), Slides: true, MaxAge: end}
}

// cost is what e counts towards Local.MaxCost.
func (c *Cache[K, V]) cost(key K, e *entry[V]) int64 {
	if c.opts.Cost == nil || e.notFound {
		return 1
	}
	return c.opts.Cost(key, e.value)
}
