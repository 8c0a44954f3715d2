// Package simulation runs a fleet in a testing/synctest bubble, on the remote tier in
// memory. The instances have clients that read, write and invalidate. Commands are slow,
// fail, or fail although they were carried out. Logs are late, cut and trimmed. Instances
// die. The random choices come from a seed. Package history judges the clients' records.
//
// Two runs of a seed are similar, and not identical: the Go scheduler decides which of two
// goroutines that wake at one moment goes first.
package simulation
