// Package faultlink puts a TCP proxy between a client and a real server and
// breaks the connections that run through it, as a network would.
//
// [Listen] starts a [Link] on 127.0.0.1 in front of a server. At first it passes
// all bytes, the end of either direction, and resets. One fault is in force at a
// time; each setting replaces the one before, and [Link.Restore] ends it:
//
//	fault   connections at hand         connections made under it
//	Cut     reset                       reset
//	Freeze  silent, whole on Restore    silent, whole on Restore
//	Drop    silent for good             silent for good
//
// Freeze is a path that loses packets for a while: TCP sends them again, so what
// was held back arrives, in order. Drop is a path on which the state of the
// connections was lost. Neither tells anybody. [Link.KillAll] and [Link.KillOne]
// reset connections in passing, and [Link.Delay] slows all of them; they go
// together with any fault.
//
// A fault is in force when its method returns: from then on the link hands on no
// byte, no end and no reset of a connection, until Restore. What it had handed to
// the kernel before may still arrive; that is nothing if the receivers keep up,
// and at most the buffers of the sockets if they do not.
package faultlink
