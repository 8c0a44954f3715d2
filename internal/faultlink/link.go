package faultlink

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// mode is the fault in force.
type mode int

const (
	passing mode = iota
	cut
	frozen
	dropping
)

// Link is a proxy in front of one server. All methods are safe for concurrent use. The
// caller of Listen calls Close.
type Link struct {
	target   string
	listener *net.TCPListener
	running  sync.WaitGroup // accept, and each connection

	// mu is held for reading while bytes are passed on. So no bytes are passed on while it
	// is held for writing.
	mu      sync.RWMutex // guards all below
	closed  bool
	mode    mode
	changed chan struct{} // closed, and replaced, when mode changes
	delay   time.Duration
	late    lateness
	drip    time.Duration
	conns   []*conn // the oldest first
}

// Listen starts a link to target, a host:port, on a loopback port of its own. Listen does
// not connect to the target: if the target cannot be reached, the link resets the
// connections that clients make.
func Listen(target string) (*Link, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("faultlink: listen: %w", err)
	}
	l := &Link{target: target, listener: listener, changed: make(chan struct{})}
	l.running.Go(l.accept)
	return l, nil
}

// Addr returns the host:port at which clients reach the server. The address stays the same
// through all faults.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Close resets all connections, whatever fault is in force, refuses new ones, and returns
// when the link's goroutines have ended. To close a link again is harmless.
func (l *Link) Close() error {
	err := l.listener.Close()
	l.mu.Lock()
	l.closed = true
	l.killLocked(len(l.conns))
	l.mu.Unlock()
	l.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Cut resets all connections, and each new connection as soon as it is accepted. A client's
// new connection fails in the dial, or in the first read or write.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setLocked(cut)
	l.killLocked(len(l.conns))
}

// Freeze holds back everything that clients and server send, the end of a connection too.
// Clients can still connect; the server sees these connections after Restore. A connection
// that was dropped before stays dropped.
func (l *Link) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setLocked(frozen)
}

// Drop silences the connections at hand, and those made until Restore, for the rest of
// their lives: the link discards everything that either side sends, and everything that a
// Freeze has held back. The link leaves such a connection open. When it finds, after
// Restore, that one side has closed the connection, it resets both sides.
func (l *Link) Drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setLocked(dropping)
	for _, c := range l.conns {
		c.dropped = true
	}
}

// Restore ends Cut, Freeze or Drop. The delay stays as it is.
func (l *Link) Restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setLocked(passing)
}

// Delay delays each chunk by d before it is passed on, and the end of a direction too; 0 is
// no delay. A chunk is the result of one read, up to 32 KiB. Later bytes queue behind a
// waiting chunk, and then wait as well, so a byte can take 2d, and a stream of many chunks
// takes d for each. Chunks that are waiting already keep their delay.
func (l *Link) Delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// lateness is what DelayReplies sets.
type lateness struct {
	nth int64
	by  time.Duration
	n   *atomic.Int64 // chunks so far
}

// DelayReplies delays each nth chunk that the server sends by d, in addition to Delay,
// counted over all connections; 0 ends that. Clients' chunks are not delayed.
func (l *Link) DelayReplies(nth int, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = lateness{int64(nth), d, new(atomic.Int64)}
}

// Drip passes on what the server sends byte by byte, with a pause of d after each byte; 0
// ends that.
func (l *Link) Drip(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drip = d
}

// KillAll resets all connections. New connections are treated as before.
func (l *Link) KillAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killLocked(len(l.conns))
}

// KillOne resets the oldest connection, and reports whether there was one.
func (l *Link) KillOne() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(1, len(l.conns))
	l.killLocked(n)
	return n == 1
}

// Conns returns the number of connections from clients, silent ones included. The link may
// accept a connection somewhat later than the client's dial returns. Until then the
// connection does not count, here and in all faults. A connection through which a byte has
// come back counts.
func (l *Link) Conns() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.conns)
}

func (l *Link) setLocked(m mode) {
	if l.mode == m {
		return
	}
	l.mode = m
	close(l.changed)
	l.changed = make(chan struct{})
}

// killLocked resets the n oldest connections.
func (l *Link) killLocked(n int) {
	for _, c := range l.conns[:n] {
		c.abortLocked()
	}
	l.conns = slices.Delete(l.conns, 0, n)
}

// acceptAgain is the pause after a failed accept, as for lack of file descriptors.
const acceptAgain = 5 * time.Millisecond

func (l *Link) accept() {
	for {
		client, err := l.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptAgain)
			continue
		}
		if c := l.admit(client); c != nil {
			l.running.Go(c.carry)
		}
	}
}

// admit adds a connection to the list, or resets the connection and returns nil.
func (l *Link) admit(client *net.TCPConn) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.mode == cut {
		reset(client)
		return nil
	}
	c := newConn(l, client)
	c.dropped = l.mode == dropping
	l.conns = append(l.conns, c)
	return c
}

// forget removes c from the list, unless killLocked has done so.
func (l *Link) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.conns, c); i >= 0 {
		l.conns = slices.Delete(l.conns, i, i+1)
	}
}
