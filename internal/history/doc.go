// Package history records the actions of the clients of a cache, and then judges whether
// any read was stale for longer than was promised.
//
// The judge does not depend on package cache. It gets five kinds of records: reads, with
// the version that each returned; commits, by which the source went from one version of a
// key to the next; invalidations that returned nil; faults; and the contents of the tiers
// at rest. All times are nanoseconds on one clock, so that the records of several processes
// of a machine make one history: see [Now].
//
// # What is judged
//
// An invalidation of version w invalidates all versions before w, from the moment at which
// it has returned. A read that starts after that moment and returns a version v < w is
// stale. Its staleness is the time between the two moments. The read is judged by every
// invalidation that makes it stale:
//
//   - An invalidation by the reader's own instance allows stale reads for Options.Own,
//     which is zero by default. No fault excuses a later one.
//   - An invalidation by another instance is due at the reader's instance after
//     Options.Delivery. A fault of the reader's instance, or of all instances, puts the
//     invalidation off if the fault is in force before then. The new time is Delivery after
//     the recovery from the fault, and at most the fault's Longest after the invalidation.
//     Another fault that strikes before the new time puts the invalidation off again. A
//     fault that strikes later excuses nothing: without the fault the invalidation would
//     have been delivered.
//
// These are violations too:
//
//   - a read that returned a version before the version's commit began, or a version
//     without a commit
//   - a version that a tier holds at rest although an invalidation has invalidated it,
//     whatever the faults were
//   - a record that ends before it starts, since no judgement by it can be trusted
//
// # What the judge cannot see
//
//   - A read that started before the invalidation returned, or in the same nanosecond, may
//     return either version. In simulated time, where many events take no time, a history
//     shows less than on a real clock: let time pass between an invalidation and the reads
//     to be judged by it.
//   - A commit without a successful invalidation invalidates nothing. A client that dies
//     between the two, or whose invalidation fails, leaves old values, but no stale ones by
//     this measure.
//   - An instance whose own invalidation failed should not read the old value either. The
//     judge does not check this rule, because only invalidations with a nil result are
//     recorded.
//   - Reads that alternate between two versions are no violation while the older version is
//     within its bound.
//   - A value is represented by its version. The client checks that the bytes of a value
//     belong to the version, and checks errors, latency and the number of loads.
//   - The judge believes the records. The judge is too lenient if an invalidation is
//     recorded with too low a version, or a fault as longer than in fact. The judge reports
//     false violations if a commit is missing: record a commit of unknown outcome too.
package history
