// Package cache is cache-aside in two tiers: an LRU in the process, and a remote
// tier that all instances share.
//
// Reads go through [Cache.GetOrLoad], which asks the local tier, then the remote tier, and
// then runs the caller's loader, once for all callers that wait. Writes go to the source.
// After a write has committed, call [Cache.Invalidate], which deletes the key from both
// tiers. The next read loads the new value. Every entry has a TTL, which reads renew, and a
// MaxAge, which nothing renews.
//
// A load that began before an invalidation of its key, of one of its tags or of the whole
// cache never ends up in either tier after the invalidation. Instances send each other their
// invalidations through a log. A remote tier that is slow, full or dead costs a call at most
// one budget, and no call fails because of it. docs/consistency.md states the guarantees,
// with their bounds.
//
// # Words
//
// Each word stands for one idea, in names, documents, statistics and logs.
//
//   - tier: one of the two places that keep values, local and remote.
//   - store: an implementation of a tier.
//   - source: the system of record, which loaders read.
//   - entry: a value in a tier. Record: an entry's bytes in Redis.
//   - hit, miss: a tier has the key alive, or not.
//   - not found: the cached fact that the source has no such key.
//   - load: a run of the loader. Fill: the way of its result into the tiers.
//   - flight: one running load, which callers share. Doomed: the flight's result goes to its
//     callers, and is not stored. Detached: not stored in the local tier.
//   - expired: past its TTL. Evicted: removed for want of space.
//   - invalidate: to make the values from before invalid. An invalid value is not served.
//   - tag: a name that values carry, by which they can be invalidated together.
//   - log: the invalidations of all instances, in one order. Position: a place in the log.
//     Delivered: applied by this instance. Stamp: the position that an instance knew when the
//     load of a value began. Gap: entries of the log that an instance may have missed.
//   - lease: the right to fill a key. Tombstone: a mark in the remote tier that forbids it.
//   - guard: to forbid fills of a key, as a Mutate does while it runs.
//   - unconfirmed: invalidated here, and not yet by the remote tier.
//   - touch: to renew a TTL in the remote tier.
//   - jitter: the random part by which TTLs differ.
package cache
