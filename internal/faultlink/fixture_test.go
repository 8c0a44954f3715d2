package faultlink_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/faultlink"
	"github.com/nearside-go/nearside/internal/redistest"
)

const (
	soon  = 10 * time.Second
	brief = 100 * time.Millisecond
)

// echo starts a server that sends back what it gets, and ends a connection when
// its client does.
func echo(t *testing.T) string {
	return serve(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
}

// echoOne is echo for one connection, and tells how that ends.
func echoOne(t *testing.T) (addr string, ended <-chan error) {
	end := make(chan error, 1)
	addr = serve(t, func(conn net.Conn) {
		_, err := io.Copy(conn, conn)
		end <- err
	})
	return addr, end
}

// serve starts a server that treats each connection so, and then closes it.
func serve(t *testing.T, treat func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				treat(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return listener.Addr().String()
}

// listen starts a link that ends with the test, before the server does.
func listen(t *testing.T, target string) *faultlink.Link {
	t.Helper()
	link, err := faultlink.Listen(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := link.Close(); err != nil {
			t.Error(err)
		}
	})
	return link
}

// dial connects to the link. All reads and writes of the test must end soon.
func dial(t *testing.T, link *faultlink.Link) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", link.Addr(), soon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(soon))
	return conn.(*net.TCPConn)
}

// connect is dial, and an exchange which shows that the link carries the connection.
func connect(t *testing.T, link *faultlink.Link) *net.TCPConn {
	t.Helper()
	conn := dial(t, link)
	send(t, conn, "hello")
	wantReply(t, conn, "hello")
	return conn
}

func send(t *testing.T, conn net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(conn, s); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func wantReply(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

// wantSilence fails if anything comes in a while: a byte, an end or a reset.
func wantSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(brief))
	n, err := conn.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v; want silence", n, err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(soon))
}

func wantReset(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read %d bytes, %v; want a reset", n, err)
	}
}

// wantRefused fails if a new connection does not end in a reset.
func wantRefused(t *testing.T, link *faultlink.Link) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", link.Addr(), soon)
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(soon))
	wantReset(t, conn)
}

// wantServerReset fails if the server's connection did not end in a reset.
func wantServerReset(t *testing.T, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the server read %v; want a reset", err)
		}
	case <-time.After(soon):
		t.Error("the server's connection has not ended")
	}
}

func wantConns(t *testing.T, conns func() int, want int) {
	t.Helper()
	redistest.Eventually(t, soon, "the number of connections is right", func() bool { return conns() == want })
}
