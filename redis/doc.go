// Package redis is the remote tier of nearside on Redis: a [cache.Remote] over
// go-redis.
//
// Each key is one Redis string in one of three states, lease, value or
// tombstone, and each step of the protocol is one command or one script on that
// one key, so that a Cluster serves it like a single server. docs/wire.md has the
// layouts, docs/design.md the protocol.
//
// Every command has a budget, which holds whatever client is used. Enough
// failures in a row open a breaker, and so does a dial of the log's reader that is
// refused: from then on no command is sent, until a probe in the background finds that
// Redis serves again.
//
// Options.Logger receives one line when an outage begins and one when it is over. The
// Store dials a Redis that is away without go-redis' pool, which writes each dial that
// fails to standard error, through a logger of its own. Commands that a client that was
// handed in has under way when Redis dies may still cause such lines.
//
// No error, line or trace of a Store holds what a server quotes: keys, tags or values.
package redis
