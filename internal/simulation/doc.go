// Package simulation plays a fleet in a testing/synctest bubble, on the remote tier in
// memory: instances with clients that read, write and invalidate, commands that are
// slow, fail, or fail although they were carried out, logs that are late, cut and
// trimmed, and instances that die. What is random comes from a seed. Package history
// judges what the clients saw.
//
// Two runs of a seed are alike and not the same: which of two goroutines goes first that
// wake at one moment is for the Go scheduler to say.
package simulation
