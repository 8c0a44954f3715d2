package cache

import (
	"math/rand/v2"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/local"
)

// touchFraction is the fraction of the TTL that has to pass before a read renews the TTL in
// the remote tier. A renewal is a write, which goes to replicas and to Redis' log on disk.
const touchFraction = 8

// lifetime returns the TTL of a loaded value, with jitter; 0 if the value is not to be kept.
func (c *Cache[K, V]) lifetime(key K, value V) time.Duration {
	ttl := c.opts.TTL
	if c.opts.TTLOf != nil {
		ttl = min(c.opts.TTLOf(key, value), c.opts.MaxAge)
	}
	return c.jitter(max(ttl, 0))
}

// window is for how long after the end of its TTL a value may be returned at all.
func (c *Cache[K, V]) window() time.Duration {
	return max(c.opts.StaleWhileRevalidate, c.opts.StaleIfError)
}

// longestLife is how long a value can be in the tiers, from the start of its load.
func (c *Cache[K, V]) longestLife() time.Duration { return sum(c.opts.MaxAge, c.window()) }

// jitter returns a duration in [d x (1 - Jitter), d].
func (c *Cache[K, V]) jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Float64()*c.opts.Jitter*float64(d))
}

// copyLifetime returns the lifetime of a local copy of rec, which was known to be valid as of
// a time. The copy ends with rec, or before. Reads of the copy renew rec, and not the copy:
// the age of the copy bounds the writes of other instances that it can miss.
//
// asOf is the time up to which the log was delivered, and not the time of the read:
//
//  1. The connection of the log dies, and nobody notices yet.
//  2. Another instance invalidates a tag of the record. This instance does not receive that.
//  3. This instance reads the record, and finds the record valid.
//
// A copy that was trusted from step 3 on would be served for longer than Local.TTL after
// step 2.
func (c *Cache[K, V]) copyLifetime(rec remote.Record, asOf time.Time) lifetime {
	fresh := rec.Left - max(time.Since(rec.Asked), 0)
	life := c.trustedLifetime(asOf, fresh, min(rec.Window, c.window()))
	if !c.opts.FixedTTL && !rec.NotFound {
		life.RenewEvery = max(rec.TTL/touchFraction, 1)
		life.RenewIn = remainder(life.RenewEvery, remainder(rec.TTL, rec.Left))
	}
	return life
}

// lifetime is the lifetime of a local entry. If it is unsure, the Window is that of
// StaleIfRemoteDown, in which the value is fresh and not trusted. Otherwise the value is stale
// in the Window, and trusted.
type lifetime struct {
	local.Lifetime
	unsure bool
}

// trustedLifetime returns the lifetime of a local copy that was known to be valid as of a time,
// of a value that is fresh for a time, and stale for its window after that.
func (c *Cache[K, V]) trustedLifetime(asOf time.Time, fresh, window time.Duration) lifetime {
	trust := c.jitter(c.opts.Local.TTL) - max(time.Since(asOf), 0) // negative if the log is not read
	life := lifetime{Lifetime: withWindow(max(trust, 0), fresh, window)}
	if down := c.opts.StaleIfRemoteDown; down > 0 && trust < fresh {
		until := trust + min(down, longest-max(trust, 0))
		life.Window, life.unsure = max(min(until, fresh)-life.TTL, 0), true
	}
	return life
}

// withWindow returns the lifetime of a local copy that is trusted for a time, of a value that
// is fresh for a time, and stale for its window after that. A negative fresh is for how long
// the value has been stale.
func withWindow(trusted, fresh, window time.Duration) local.Lifetime {
	if window == 0 {
		fresh = max(fresh, 0)
	}
	ttl := min(trusted, fresh)
	return local.Lifetime{TTL: ttl, Window: max(min(trusted, fresh+min(window, longest-max(fresh, 0)))-ttl, 0)}
}

// unsentLifetime returns the lifetime of the local entry of a value that the remote tier does
// not hold. Its load started at began, and it was known to be valid as of a time. The entry
// is a copy like any other, with nothing to renew.
func (c *Cache[K, V]) unsentLifetime(ttl time.Duration, notFound bool, began, asOf time.Time) lifetime {
	return c.trustedLifetime(asOf, min(ttl, c.opts.MaxAge-time.Since(began)), c.windowOf(notFound, ttl))
}

// windowOf is the window of a value, or of a key that the source does not have. Together with
// the TTL it is a Duration, also when both are rounded up to the units of the remote tier.
func (c *Cache[K, V]) windowOf(notFound bool, ttl time.Duration) time.Duration {
	if notFound {
		return 0
	}
	return min(c.window(), remainder(longest-time.Second, ttl))
}

// unfencedLifetime returns the lifetime of the local entry of a value that was loaded without
// a lease. With a remote tier, which fails then, the entry is trusted from the start of its
// load, because no lease fenced the load. Without a remote tier the entry's TTL slides.
func (c *Cache[K, V]) unfencedLifetime(ttl time.Duration, notFound bool, start time.Time) lifetime {
	if c.opts.Remote != nil {
		return c.unsentLifetime(ttl, notFound, start, start)
	}
	end := c.opts.MaxAge
	if c.opts.Local.TTL > 0 {
		end = min(end, c.jitter(c.opts.Local.TTL))
	}
	end = remainder(end, time.Since(start))
	life := local.Lifetime{TTL: min(ttl, end), Window: c.windowOf(notFound, ttl)}
	if !c.opts.FixedTTL && !notFound {
		life.Slides, life.MaxAge = true, end
	}
	return lifetime{Lifetime: life}
}

// cost returns the cost of e towards Local.MaxCost.
func (c *Cache[K, V]) cost(key K, e *entry[V]) int64 {
	if c.opts.Cost == nil || e.notFound {
		return 1
	}
	return c.opts.Cost(key, e.value)
}
