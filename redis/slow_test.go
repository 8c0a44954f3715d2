package redis_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowLink is a proxy to a Redis whose replies come late.
type slowLink struct {
	net.Listener
	to    string
	delay atomic.Int64 // of each reply, in nanoseconds
	every atomic.Int64 // only each so many-th reply is late; 0 means each
	count atomic.Int64 // of replies
	conns atomic.Int64 // connections that were made
}

// newSlowLink returns a proxy to the server at addr, without a delay at first.
// Clients of it have to be made after it, so that they are closed before.
func newSlowLink(t *testing.T, addr string) *slowLink {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &slowLink{Listener: listener, to: addr}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			l.conns.Add(1)
			running.Go(func() { l.relay(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l
}

// relay carries bytes between client and the server until one of them closes.
func (l *slowLink) relay(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	var there sync.WaitGroup
	there.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	defer there.Wait()
	defer client.Close()
	replies := make([]byte, 1<<16)
	for {
		n, err := server.Read(replies)
		if err != nil {
			return
		}
		if l.count.Add(1)%max(1, l.every.Load()) == 0 {
			<-time.After(time.Duration(l.delay.Load()))
		}
		if _, err := client.Write(replies[:n]); err != nil {
			return
		}
	}
}
