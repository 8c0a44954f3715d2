// Package redistest starts private redis-servers for tests.
//
// Each server is a real redis-server process, found on PATH, that belongs to one test. The
// server listens on 127.0.0.1 and on a unix socket in a directory of its own, keeps nothing
// on disk, and ends with the test. [Start] starts one server, [StartReplica] a replica of a
// server, [StartSentinel] a Sentinel that watches a server, and [StartCluster] a Redis
// Cluster. Redis 7.0 or later is needed. Without a redis-server on PATH these four
// functions skip the test. Where the variable CI is not empty they fail the test instead,
// so that a broken pipeline does not pass by testing nothing.
//
// A private server can be broken by its test. [Server.Pause] stops all answers without
// closing a connection. After [Server.Kill] connections are refused. [Server.Restart]
// brings the server back empty, and [Server.Load] makes the server answer -LOADING.
// [Blackhole] and [Refused] are addresses for tests that need no Redis at all.
//
// Ports are drawn from 10000 to 19999, and the bus of a cluster node takes the port that is
// 10000 above. Both ranges lie below the range from which kernels lend ports to outgoing
// connections, so that a port stays free between a Kill and a Restart. If another process
// takes a port between the drawing and the start, the server draws again.
//
// A server ends with its test through [testing.TB.Cleanup]. On Linux the server also dies
// with a test binary that is killed, or that panics on a timeout, when no cleanup runs.
//
// With rights in the variable REDISTEST_RIGHTS, in the form of ACL SETUSER, connections
// without a user's name have these rights only, while the package itself has all: the tests
// of a client then show that the client needs no others.
//
// Methods report failure through the test that started the server, by Fatal. Call them from
// that test's goroutine.
package redistest
