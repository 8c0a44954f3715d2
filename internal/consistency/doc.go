// Package consistency runs a fleet of processes on a real Redis, injects every kind of
// fault, and has package history judge every read.
//
// The parent is a test. It starts a redis-server or a Cluster, another redis-server as the
// source, and a number of processes of the test binary. The source holds a version for each
// key, and never fails. Each process is an instance: a Cache on a Store, with clients that
// read, and clients that write to the source and invalidate. Each process reaches Redis
// through links of its own, which the parent breaks. The parent also kills processes and
// servers, and removes from Redis the records that the protocol relies on. A process writes
// its history to a file as it runs, so that the history outlives the process.
//
// Only faults that can delay an entry of the log excuse a late read, and only until the
// recovery from the fault has ended: see [Bounds]. There are fleets with a short Local.TTL,
// which is shorter than many faults and then is the bound, and fleets with a Local.TTL that
// is longer than all faults.
//
// After about half of the faults the writes end. When the recovery has ended, each instance
// reports the values that it holds. At that point no invalidation can remove an old value
// before the value is found. The longer Local.TTL keeps local values until then.
//
// The same fleet can run plain cache-aside instead: GET, SET and DEL with an LRU in front.
// Or the fleet can lose entries of the log. Both show that the judge can find violations.
package consistency
