// Package cachetest is for the tests of those who use or implement a
// [cache.Remote]: a remote tier in memory with faults to inject ([Server],
// [Remote]), and the conformance suite that every Remote must pass
// ([TestRemote]), as testing/slogtest has one for handlers.
//
// Everything here takes its time from package time, and so runs in a
// testing/synctest bubble.
package cachetest
