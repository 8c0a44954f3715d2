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
	var addr string
	t.Run("open", func(t *testing.T) {
		addr = redistest.Blackhole(t)
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
	})
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the listener outlives its test")
	}
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
