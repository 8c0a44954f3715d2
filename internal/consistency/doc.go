// Package consistency runs a fleet of processes on a real Redis, breaks what can be
// broken, and has package history judge every read.
//
// The parent, a test, starts a redis-server or a Cluster, another redis-server as the
// source, which holds a version for each key and is never broken, and a number of
// processes of the test binary. Each process is an instance: a Cache on a Store, with
// clients that read and clients that write to the source and invalidate. Each reaches
// Redis through links of its own, which the parent breaks; it also kills processes and
// servers, and takes from Redis what the protocol relies on. Processes write what they
// do to a file as they go, so that it outlives them.
//
// Only what can hold up an entry of the log excuses a read that is late, and for no longer
// than it takes to recover from that: see [Bounds]. So fleets have a Local.TTL that is
// shorter than many faults, and is what bounds them then, or one that outlives them all.
// After every other fault the writes end, and once it is recovered from, everybody says
// what is held of each key. Nothing then takes away what was left behind before it is seen,
// and the longer Local.TTL sees to it that there is something to look at.
//
// The same fleet can run plain cache-aside instead: GET, SET and DEL with an LRU in
// front. Or it can lose entries of the log. What is found there shows that the judge can
// find something.
package consistency
