// Package chaos measures what a service gets from its cache while Redis is ill.
//
// The parent is a test. For each fault it starts real servers (one, a primary with a replica
// and three Sentinels, or a Cluster), and a process of the test binary. The process runs
// three instances, a Store and a Cache each, over one source in memory. Readers and writers
// use the instances all the time: before the fault, during the fault, and after it. The
// parent causes the fault and ends it, on the servers or on the links to them, and the
// process reports its figures: see [Result]. The instances have a process of their own, so
// that all lines on standard error, all goroutines and all descriptors are theirs.
//
// Package consistency asks whether any fault ever breaks a promise, with processes that are
// killed and a judge of each read. This package asks what each fault costs, and shares the
// judge.
//
// [Soak] runs the same process for a long time with random faults, and compares its first
// minute with its last.
package chaos
