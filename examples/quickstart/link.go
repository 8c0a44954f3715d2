package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// link is the way from the stores to Redis: a TCP proxy on the loopback
// interface, which can be cut. To its clients that is a Redis whose process has
// died: their connections break and new ones are refused.
type link struct {
	dial    func(context.Context) (net.Conn, error)
	address string
	running sync.WaitGroup

	mu       sync.Mutex // guards all below
	listener net.Listener
	conns    map[net.Conn]struct{} // nil while the link is cut
}

// newLink returns a link to the server that dial reaches.
func newLink(dial func(context.Context) (net.Conn, error)) (*link, error) {
	l := &link{dial: dial, address: "127.0.0.1:0"}
	if err := l.restore(); err != nil {
		return nil, err
	}
	l.address = l.listener.Addr().String()
	return l, nil
}

// restore makes the link accept connections, at the address that it had.
func (l *link) restore() error {
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener, l.conns = listener, make(map[net.Conn]struct{})
	l.running.Go(func() { l.accept(listener) })
	return nil
}

// cut breaks all connections and refuses new ones. It returns when no byte
// passes any more.
func (l *link) cut() {
	l.mu.Lock()
	_ = l.listener.Close()
	for conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
	l.mu.Unlock()
	l.running.Wait()
}

func (l *link) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.carry(client) })
	}
}

// carry passes bytes both ways, until either side ends the connection.
func (l *link) carry(client net.Conn) {
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	server, err := l.dial(ctx)
	if err != nil {
		return
	}
	defer server.Close()
	if !l.open(client, server) {
		return
	}
	defer l.forget(client, server)
	l.running.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	_, _ = io.Copy(client, server)
	_ = client.Close()
}

// open puts connections on the list of those to break, unless the link is cut.
func (l *link) open(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		return false
	}
	for _, conn := range conns {
		l.conns[conn] = struct{}{}
	}
	return true
}

func (l *link) forget(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		delete(l.conns, conn)
	}
}
