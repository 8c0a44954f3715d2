// Package cache is cache-aside in two tiers: an LRU in the process, and a remote
// tier that all instances share.
//
// Reads go through [Cache.GetOrLoad], which asks the local tier, then the remote
// one, and then runs the caller's loader, once for all who wait. Writes go to
// the source, and once they have committed to [Cache.Invalidate], which deletes
// the key from both tiers; the next read loads it anew. Every entry has a TTL
// that reads renew and a MaxAge that nothing renews.
//
// A load that began before an invalidation of its key, of one of its tags or of the
// whole cache never ends up in either tier after it. Instances tell each other of
// invalidations through a log. A remote tier that is slow, full or dead costs a call at most
// one budget, and no call ever fails because of it. docs/consistency.md states
// the guarantees, with their bounds.
//
// # Words
//
// Each stands for one idea, in names, documents, statistics and logs.
//
//   - tier: one of the two places where values are kept, local and remote.
//   - store: an implementation of a tier.
//   - source: the system of record, which loaders read.
//   - entry: a value in a tier. Record: an entry's bytes in Redis.
//   - hit, miss: a tier has the key alive, or has not.
//   - not found: the cached fact that the source has no such key.
//   - load: a run of the loader. Fill: its result's way into the tiers.
//   - flight: one running load, which callers share. Doomed: its result is for
//     the callers that it has, and is not stored. Silenced: not in the local tier.
//   - expired: past its TTL. Evicted: gone for want of space.
//   - invalidate: to declare wrong.
//   - tag: what a value can be invalidated by besides its key.
//   - log: the invalidations of all instances, in one order. Position: a place in
//     it. Stamp: the position that was known when a value's load began. Gap: what
//     an instance may have missed of it.
//   - lease: the right to fill a key. Tombstone: the ban on filling it.
//   - touch: to renew a TTL in the remote tier.
//   - jitter: the random part by which TTLs differ.
package cache
