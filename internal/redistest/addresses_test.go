package redistest_test

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
)

func TestBlackholeAcceptsAndIsSilent(t *testing.T) {
	t.Parallel()
	// Another process may get the port as soon as it is free, but not every time.
	for range 5 {
		var addr string
		t.Run("open", func(t *testing.T) { addr = checkSilent(t) })
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		conn.Close()
	}
	t.Error("the listener outlives its test")
}

// checkSilent returns the address of a Blackhole that accepts, and answers nothing.
func checkSilent(t *testing.T) string {
	t.Helper()
	addr := redistest.Blackhole(t)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(brief))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	return addr
}

func TestRefusedRefuses(t *testing.T) {
	t.Parallel()
	addr := redistest.Refused(t)
	for range 100 {
		if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial: %v", err)
		}
	}
	if l, err := net.Listen("tcp", addr); err == nil {
		l.Close()
		t.Error("somebody else can take the port")
	}
}
