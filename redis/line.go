package redis

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// line is the connection that a log is read on, as the Store's commands use it. A server
// that dies ends its connections in the order in which they were made, and the log's
// connection is among the first. Once the log's connection has ended, a command of a client
// passed to New should wait until the reader has dialed:
//
//  1. The server dies. The reader does not run yet.
//  2. A command finds no sound connection in the client's pool, and dials.
//  3. The reader dials, is refused, and opens the breaker.
//  4. The dial of step 2 fails for the last time, and the pool of go-redis logs the
//     failure.
type line struct{ raw syscall.RawConn }

// newLine returns the line of conn; nil if conn has no socket to look at.
func newLine(conn net.Conn) *line {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	if sys, ok := conn.(syscall.Conn); ok {
		if raw, err := sys.SyscallConn(); err == nil {
			return &line{raw}
		}
	}
	return nil
}

// ended reports whether the server has ended the connection. It consumes no bytes.
func (l *line) ended() (ended bool) {
	err := l.raw.Control(func(fd uintptr) { ended = hungUp(fd) })
	return ended || err != nil
}

// steady waits while the reader finds out why the connection of the log has ended, for half
// a budget at most. The reader replaces or removes the line when it has dialed. If the dial
// takes longer, the first command that has waited removes the line for the commands that
// follow.
func (s *Store) steady(ctx context.Context, c *circuit) {
	late := time.Time{}
	for {
		log, l := s.endedLine(c)
		if l == nil || c.reads.open.Load() {
			return
		}
		if late.IsZero() {
			late = time.Now().Add(s.opts.Timeout / 2)
		}
		if time.Now().After(late) {
			log.line.CompareAndSwap(l, nil)
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return
		case <-s.background.Done():
			return
		}
	}
}

// endedLine returns a log on the server of c whose connection has ended, and the line of the
// connection; nil if there is no such log.
func (s *Store) endedLine(c *circuit) (*partition, *line) {
	for _, p := range s.logs {
		if l := p.line.Load(); l != nil && (s.single || s.circuitOf(p.key) == c) && l.ended() {
			return p, l
		}
	}
	return nil, nil
}
