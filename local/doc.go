// Package local is an LRU in the process: sharded, bounded by entries and by
// cost, with a lifetime for each entry. It knows nothing of remotes, loads or
// tags and can be used alone.
//
// # Lifetimes
//
// Each entry is added with a [Lifetime]. Its TTL counts from Add, or from the
// last Get where the lifetime slides; its MaxAge counts from Add and nothing
// renews it. [Options].TTL bounds every lifetime of the store, from Add too.
//
// An expired entry is never returned. It leaves memory when a Get meets it or
// when its space is needed: the store has no goroutine and no Close.
//
// # Shards
//
// Keys are spread over shards by hash, and each shard is a
// [github.com/hashicorp/golang-lru/v2/simplelru.LRU] under its own mutex, so
// that callers on different cores seldom meet. The limits hold for the store as
// a whole: a shard that happens to receive more keys than others may hold more.
// The entry that makes way is the least recently used one of its shard, which
// is the least recently used of the store only in stores so small that they
// have one shard (below 512 entries).
//
// # Time
//
// Time is the monotonic clock: a wall clock that jumps expires nothing early and
// keeps nothing alive. A TTL that slides may end up to 10 ms early, because a
// read of an entry that is far from its end counts from the last of the ticks
// that a store in use keeps; an entry's end itself is exact.
package local
