// Package cachetest is for the tests of packages that use or implement a [remote.Tier]. It
// has a remote tier in memory with faults to inject ([Server], [Remote]), and the
// conformance suite that every Tier must pass ([TestRemote]), as testing/slogtest has one
// for handlers.
//
// Server and Remote take their time from package time, and so run in a testing/synctest
// bubble.
package cachetest
