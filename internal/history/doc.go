// Package history records what the clients of a cache did, and judges
// afterwards whether any read was stale for longer than was promised.
//
// The judge knows nothing of caches. It is given five kinds of records: reads,
// with the version that each returned; commits, by which the source went from
// one version of a key to the next; invalidations that returned nil; faults; and
// what the tiers held at rest. All times are nanoseconds on one clock, so that
// the records of several processes of a machine make one history, see [Now].
//
// # What is judged
//
// An invalidation of version w declares all versions before w wrong, from the
// moment it has returned. A read that starts after that and returns version v < w
// is stale, for as long as has passed between the two. It is judged against every
// invalidation that it is stale by:
//
//   - Those that the reader's own instance made allow it Options.Own, which is
//     nothing unless set. No fault excuses such a read.
//   - Those of other instances have to be known after Options.Delivery. A fault
//     of the reader's instance, or of all, that is in force before that, puts
//     it off: until it has been recovered from, and Delivery later, but not beyond
//     its Longest. Another fault that strikes before that puts it off again. One
//     that strikes later excuses nothing: it would have been known without it.
//
// A read that returned a version before its commit began, or one that nobody
// committed, is a violation too. So is what a tier holds at rest if an
// invalidation has declared it wrong, whatever the faults were, and any record
// that ends before it starts, since nothing that is judged by it can be trusted.
//
// # What it cannot see
//
//   - A read that started before the invalidation returned, or in the same
//     nanosecond, may return either version. In simulated time, where much happens
//     in no time, a history shows less than on a real clock: let time pass between
//     an invalidation and the reads that are to be judged by it.
//   - A commit that nobody invalidated with success declares nothing wrong. A
//     client that dies in between, or whose invalidation fails, leaves old values
//     that are not stale by this measure.
//   - An instance whose own invalidation failed should not read the old value
//     either. Only invalidations that returned nil are records, so nobody is judged
//     by it.
//   - Reads that go back and forth between two versions are no violation while the
//     older one is within its bound.
//   - Values are their versions. That the bytes of a value belong to its version is
//     for the client to check, as are errors, latency and the number of loads.
//   - What is not recorded did not happen. A version that is recorded too low with
//     an invalidation, and a fault that is said to last longer than it did, make
//     the judge lenient. A commit that is not recorded makes it accuse: record a
//     commit whose outcome is unknown too.
package history
