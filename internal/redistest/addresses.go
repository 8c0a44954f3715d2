package redistest

import (
	"net"
	"sync"
	"testing"
)

// Blackhole returns host:port of a loopback listener that accepts every connection, reads
// nothing and answers nothing: clients can connect, and then only wait. The end of t closes
// the listener and its connections.
func Blackhole(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		t.Fatalf("redistest: blackhole: %v", err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() { swallow(l) })
	t.Cleanup(func() {
		_ = l.Close() // ends swallow
		accepting.Wait()
	})
	return l.Addr().String()
}

// swallow holds the connections of l until l is closed.
func swallow(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
	}
}

// Refused returns host:port of a loopback address without a listener, so that connections
// to the address are refused at once. Until t ends no other process can get the port.
func Refused(t testing.TB) string {
	t.Helper()
	addr, release, err := reservePort()
	if err != nil {
		t.Fatalf("redistest: refused: %v", err)
	}
	t.Cleanup(release)
	return addr
}
