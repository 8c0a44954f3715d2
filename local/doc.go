// Package local is an LRU in the process: sharded, bounded by entries and by cost, with a
// lifetime for each entry. Its [Policy] can be [TwoQueue] instead. The package has no notion of
// remotes, loads or tags, and can be used alone.
//
// # Lifetimes
//
// Each entry is added with a [Lifetime]. Its TTL counts from Add, or from the last Get if
// the lifetime slides. Its MaxAge counts from Add, and nothing renews it. [Options].TTL
// bounds every lifetime of the store, and counts from Add too.
//
// An expired entry is never returned. It leaves memory when a Get finds it expired, or when
// its space is needed: the store has no goroutine and no Close.
//
// # Shards
//
// Keys are spread over shards by hash. Each shard is a
// [github.com/hashicorp/golang-lru/v2/simplelru.LRU] under its own mutex, so that callers
// on different cores seldom wait for each other. The limits hold for the store as a whole:
// a shard that happens to receive more keys than others may hold more. The evicted entry is
// the least recently used entry of its shard. It is the least recently used entry of the
// whole store only in stores so small that they have one shard (below 512 entries). In a store
// of several shards the order is exact to 10 ms, or to the time in which one entry in sixteen
// is replaced, if that is shorter: an entry that is read again and again is moved at its first
// two reads in such a time. Its further reads take no lock. That takes 8 bytes for each of
// MaxEntries, 128 KiB at most, and 4 KiB for counters, also while the store is empty.
//
// # Time
//
// Time is the monotonic clock: a wall clock that jumps expires nothing early, and keeps
// nothing alive. A TTL that slides may end up to 10 ms early, because a read of an entry
// that is far from its end counts from the last clock tick of the store. The end of an
// entry is checked against the exact time.
package local
