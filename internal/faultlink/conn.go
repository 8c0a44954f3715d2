package faultlink

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	chunk = 32 << 10

	// patience bounds how long a receiver that does not read can delay a fault: a write
	// gives up after patience, releases the link's mu, and tries again.
	patience = 5 * time.Millisecond
)

// conn is a client's connection, together with the connection to the server.
type conn struct {
	link   *Link
	client *net.TCPConn
	broken context.Context // ends when the link resets the connection
	end    context.CancelFunc

	// The link's mu guards these.
	server  *net.TCPConn // nil until it is dialed
	dropped bool         // never unset
}

func newConn(l *Link, client *net.TCPConn) *conn {
	c := &conn{link: l, client: client}
	c.broken, c.end = context.WithCancel(context.Background())
	return c
}

// carry passes on the bytes of both sides until both sides have ended.
func (c *conn) carry() {
	defer c.link.forget(c)
	defer c.end()
	defer c.client.Close()
	server, err := c.dial()
	if err != nil {
		c.abort()
		return
	}
	if server == nil { // dropped
		c.stream(c.client, nil)
		return
	}
	defer server.Close()
	var up sync.WaitGroup
	up.Go(func() { c.stream(c.client, server) })
	c.stream(server, c.client)
	up.Wait()
}

// dial connects to the server as soon as the link passes bytes. For a dropped connection it
// returns nil.
func (c *conn) dial() (*net.TCPConn, error) {
	if !c.enter() {
		return nil, c.broken.Err()
	}
	dropped := c.dropped
	c.leave()
	if dropped {
		return nil, nil
	}
	var d net.Dialer
	nc, err := d.DialContext(c.broken, "tcp", c.link.target)
	if err != nil {
		return nil, err
	}
	server := nc.(*net.TCPConn)
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if err := c.broken.Err(); err != nil { // the link was reset while the dial ended
		reset(server)
		return nil, err
	}
	c.server = server
	return server, nil
}

// stream passes on the bytes of one side, and then their end.
func (c *conn) stream(from, to *net.TCPConn) {
	b := make([]byte, chunk)
	for {
		n, readErr := from.Read(b)
		c.wait(c.delay(to))
		err := c.pass(to, b[:n])
		if err == nil {
			err = readErr
		}
		if err != nil {
			c.finish(to, err)
			return
		}
	}
}

// delay returns by how much a chunk to one side is delayed.
func (c *conn) delay(to *net.TCPConn) time.Duration {
	c.link.mu.RLock()
	defer c.link.mu.RUnlock()
	d := c.link.delay
	if late := c.link.late; to == c.client && late.nth > 0 && late.n.Add(1)%late.nth == 0 {
		d += late.by
	}
	return d
}

// wait waits for d, or until the link resets the connection.
func (c *conn) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-c.broken.Done():
	}
}

// pass writes all of b to one side.
func (c *conn) pass(to *net.TCPConn, b []byte) error {
	for len(b) > 0 {
		pause := c.drip(to)
		next := b
		if pause > 0 {
			next = b[:1]
		}
		n, err := c.write(to, next)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		b = b[n:]
		c.wait(pause)
	}
	return nil
}

// drip returns the pause after each byte to one side; 0 if bytes are passed on together.
func (c *conn) drip(to *net.TCPConn) time.Duration {
	c.link.mu.RLock()
	defer c.link.mu.RUnlock()
	if to != c.client {
		return 0
	}
	return c.link.drip
}

// write writes to one side as much of b as that side takes within patience. For a dropped
// connection it discards b.
func (c *conn) write(to *net.TCPConn, b []byte) (int, error) {
	if !c.enter() {
		return 0, c.broken.Err()
	}
	defer c.leave()
	if c.dropped {
		return len(b), nil
	}
	if err := to.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return to.Write(b)
}

// finish passes the end of one side on to the other side. After an error other than io.EOF
// it resets both sides.
func (c *conn) finish(to *net.TCPConn, err error) {
	if !c.enter() {
		return
	}
	defer c.leave()
	if err == io.EOF && !c.dropped && to.CloseWrite() == nil {
		return
	}
	c.abortLocked()
}

// abort resets both sides, as soon as the link passes bytes.
func (c *conn) abort() {
	if !c.enter() {
		return
	}
	defer c.leave()
	c.abortLocked()
}

// enter waits until the link passes bytes, and returns true with the link's mu held for
// reading: so no fault begins until leave. If the connection is broken, enter returns
// false, and holds nothing.
func (c *conn) enter() bool {
	for {
		c.link.mu.RLock()
		if c.link.mode == passing && c.broken.Err() == nil {
			return true
		}
		changed := c.link.changed
		c.link.mu.RUnlock()
		select {
		case <-changed:
		case <-c.broken.Done():
			return false
		}
	}
}

func (c *conn) leave() { c.link.mu.RUnlock() }

// abortLocked resets both sides. The caller holds the link's mu, for reading or for
// writing.
func (c *conn) abortLocked() {
	c.end()
	reset(c.client)
	if c.server != nil {
		reset(c.server)
	}
}

// reset closes a connection by RST, and discards bytes that were not sent yet.
func reset(nc *net.TCPConn) {
	_ = nc.SetLinger(0)
	_ = nc.Close()
}
