// Package redis is the remote tier of nearside on Redis: a [remote.Tier] over go-redis.
//
// Each key is one Redis string. The string is a record in one of three states: lease, value
// or tombstone. Each step of the protocol is one command or one script on that one key, so
// the package works on a Cluster as on a single server. docs/wire.md has the layouts of the
// records, docs/design.md the protocol.
//
// Every command has a budget, whatever client the Store uses. Enough failures in a row open
// a breaker, and so does a refused dial of the log's reader. While the breaker is open the
// Store sends no command. A probe in the background closes the breaker when Redis serves
// again. Each node of a Cluster has a breaker of its own.
//
// Options.Logger receives one line when an outage begins and one when the outage is over.
// The pool of go-redis writes a line to standard error for each failed dial, through a
// logger of its own. So while Redis is away the Store dials without that pool. A client
// passed to New may still cause such lines, for the commands that are under way when Redis
// dies, and a failover client, also one that Open has made, writes lines of its own.
//
// A self-test in the background logs once what is wrong with the configuration of Redis: a
// permission that is missing, an eviction policy, a replica. [Store.Health] returns the same
// for a page of states, also while Redis is away.
//
// A server may quote keys, tags or values in its replies. No error, line or trace of a
// Store repeats a quotation.
package redis
