// Package redis is the remote tier of nearside on Redis: a [cache.Remote] over
// go-redis.
//
// Each key is one Redis string in one of three states, lease, value or
// tombstone, and each step of the protocol is one command or one script on that
// one key, so that a Cluster serves it like a single server. docs/wire.md has the
// layouts, docs/design.md the protocol.
//
// Every command has a budget, which holds whatever client is used. Enough
// failures in a row open a breaker: from then on no command is sent, until a
// probe in the background finds that Redis serves again.
//
// go-redis writes failed dials to standard error through a logger of its own,
// which a program may replace with goredis.SetLogger.
package redis
