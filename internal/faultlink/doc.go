// Package faultlink puts a TCP proxy between a client and a real server, and breaks the
// connections that run through the proxy, as a network would.
//
// [Listen] starts a [Link] on 127.0.0.1 in front of a server. At first the link passes on
// all bytes, the end of either direction, and resets. One fault is in force at a time. A
// fault replaces the fault before, and [Link.Restore] ends it:
//
//	fault   connections at hand         connections made under it
//	Cut     reset                       reset
//	Freeze  silent, whole on Restore    silent, whole on Restore
//	Drop    silent, also after Restore  silent, also after Restore
//
// Freeze is a path that loses packets for a while: TCP sends them again, so the delayed
// bytes arrive, in order. Drop is a path on which the state of the connections was lost.
// Neither side is notified of these two faults. [Link.KillAll] and [Link.KillOne] reset
// connections once, and [Link.Delay], [Link.DelayReplies] and [Link.Drip] slow all
// connections down; these can be combined with any fault.
//
// A fault is in force when its method returns: from then until Restore the link passes on
// no byte, no end and no reset of a connection. Bytes that were handed to the kernel before
// may still arrive: none if the receivers keep up, and at most the buffers of the sockets
// if not.
package faultlink
