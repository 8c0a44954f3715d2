// Package redistest starts private redis-servers for tests.
//
// Each server is a real redis-server process, found on PATH, that belongs to one test. It listens on 127.0.0.1 and on a unix
// socket in a directory of its own, keeps nothing on disk, and is gone when the test ends. [Start] gives one server,
// [StartReplica] a replica of it, [StartSentinel] a Sentinel that watches it, and [StartCluster] a Redis Cluster. Redis 7.0 or
// later is needed. Where no redis-server is on PATH these four skip the test, and under a non-empty CI variable fail it, so that
// a broken pipeline does not pass by testing nothing.
//
// The point of a private server is that it can be hurt. [Server.Pause] makes it silent without closing a connection,
// [Server.Kill] makes it refuse connections, [Server.Restart] brings it back empty, and [Server.Load] makes it answer -LOADING.
// [Blackhole] and [Refused] are addresses for tests that need no Redis at all.
//
// Ports are drawn from 10000 to 19999, and a cluster's bus takes the port 10000 above. Both lie below the range from which
// kernels lend ports to outgoing connections, so that a port stays free between a Kill and a Restart. If somebody else takes a
// port between the drawing and the start, another one is drawn.
//
// A server ends with its test through [testing.TB.Cleanup]. On Linux it also dies with a test binary that is killed or that
// panics on a timeout, when no cleanup runs.
//
// Methods report failure through the test that started the server, by Fatal: call them from that test's goroutine.
package redistest
