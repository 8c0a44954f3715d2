// Package remote is the contract of a remote tier: the methods that a cache calls on the
// tier that all instances share, and the guarantees that the tier gives. Package redis
// implements the contract. Package cache/cachetest has an implementation in memory, and the
// conformance suite that every implementation must pass.
//
// Users of a cache need nothing from this package. They make a redis.Store, and hand the
// store to cache.New.
package remote
