// Package peers compares nearside with other cache libraries for Redis: the same scenarios
// run on each of them, and print the table of the README. Run it with make peers.
//
// Each library is used as its documentation shows, with its default options, a local tier
// where it has one, and go-redis as the client:
//
//   - go-redis/cache: Once, with TinyLFU as the local tier.
//   - jetcache-go: Once, with TinyLFU as the local tier, and SyncLocal over a channel of
//     Redis, as in its README: other instances drop their local copies after a change.
//   - gocache: a Marshaler over a Loadable over a Chain of Ristretto and Redis.
//   - rockscache: Fetch and TagAsDeleted. It has no local tier, and its users encode
//     their values: here as JSON.
//   - sturdyc: GetOrFetchBatch, with Redis as its distributed storage. Only make bench-peers
//     measures it.
//
// rueidisaside is not among them.
//
// The module is not part of go.work, so that the library and its tests do not depend on
// the modules of others.
package peers
