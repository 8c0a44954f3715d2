package faultlink_test

import (
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
)

const (
	megabytes = 4 << 20
	blocking  = 64 << 20 // more than the sockets of two connections hold
)

// noise returns a reader of the same n bytes each time.
func noise(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), n) }

func sum(t *testing.T, r io.Reader) [sha256.Size]byte {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// sendNoise writes n bytes of noise and the end, while the test reads.
func sendNoise(conn *net.TCPConn, n int64) <-chan error {
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, noise(n))
		sent <- errors.Join(err, conn.CloseWrite())
	}()
	return sent
}

func TestPassesBytesBothWays(t *testing.T) {
	conn := dial(t, listen(t, echo(t)))
	sent := sendNoise(conn, megabytes)
	if sum(t, conn) != sum(t, noise(megabytes)) {
		t.Error("other bytes came back")
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestPassesHalfClose(t *testing.T) {
	addr := serve(t, func(conn net.Conn) {
		got, err := io.ReadAll(conn)
		if err == nil {
			_, _ = conn.Write(append(got, " and farewell"...))
		}
	})
	link := listen(t, addr)
	conn := dial(t, link)
	send(t, conn, "goodbye")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "goodbye and farewell" {
		t.Errorf("read %q, %v", got, err)
	}
	wantConns(t, link.Conns, 0)
}

// TestPassesHalfCloseOfServer: after the server's last byte the client's still pass.
func TestPassesHalfCloseOfServer(t *testing.T) {
	received := make(chan string, 1)
	conn := dial(t, listen(t, serve(t, func(conn net.Conn) {
		_ = conn.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(conn)
		received <- string(got)
	})))
	if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read %d bytes, %v; want the end", n, err)
	}
	<-time.After(brief)
	send(t, conn, "one more")
	_ = conn.CloseWrite()
	if got := <-received; got != "one more" {
		t.Errorf("the server read %q", got)
	}
}

func TestPassesReset(t *testing.T) {
	addr, ended := echoOne(t)
	link := listen(t, addr)
	conn := connect(t, link)
	_ = conn.SetLinger(0)
	_ = conn.Close()
	wantServerReset(t, ended)
	wantConns(t, link.Conns, 0)
}

func TestServerOutOfReach(t *testing.T) {
	link := listen(t, redistest.Refused(t))
	wantRefused(t, link)
	wantConns(t, link.Conns, 0)
}

func TestDelay(t *testing.T) {
	const late = 50 * time.Millisecond
	link := listen(t, echo(t))
	conn := connect(t, link)
	for _, tt := range []struct{ delay, least time.Duration }{
		{late, 2 * late}, // there and back
		{3 * late, 6 * late},
	} {
		link.Delay(tt.delay)
		start := time.Now()
		send(t, conn, "one")
		send(t, conn, "two")
		wantReply(t, conn, "onetwo")
		if took := time.Since(start); took < tt.least {
			t.Errorf("delay %v: the reply took %v", tt.delay, took)
		}
	}
	link.Delay(soon)
	link.Delay(0)
	send(t, conn, "three")
	wantReply(t, conn, "three")
}

// TestDelayKeepsOrder sends more than one chunk holds.
func TestDelayKeepsOrder(t *testing.T) {
	link := listen(t, echo(t))
	link.Delay(time.Millisecond)
	conn := dial(t, link)
	sent := sendNoise(conn, megabytes)
	if sum(t, conn) != sum(t, noise(megabytes)) {
		t.Error("other bytes came back")
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestFreezeStopsBlockedWrites: a client that does not read keeps the link in the
// midst of a write. Freeze must not wait for that client, and the rest of the write
// must neither pass under the fault nor be lost.
func TestFreezeStopsBlockedWrites(t *testing.T) {
	link := listen(t, echo(t))
	conn := dial(t, link)
	sent := sendNoise(conn, blocking)
	<-time.After(brief)
	defer time.AfterFunc(soon, func() { _ = conn.Close() }).Stop() // ends a Freeze that does wait
	start := time.Now()
	link.Freeze()
	if took := time.Since(start); took > soon/2 {
		t.Errorf("Freeze took %v", took)
	}
	h := sha256.New()
	for silent := 0; silent < 3; silent++ { // a machine that stalls may let one deadline pass
		_ = conn.SetReadDeadline(time.Now().Add(brief))
		n, err := io.Copy(h, conn) // what the sockets hold
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		if n > 0 {
			silent = 0
		}
	}
	wantSilence(t, conn)
	link.Restore()
	if _, err := io.Copy(h, conn); err != nil {
		t.Fatal(err)
	}
	if [sha256.Size]byte(h.Sum(nil)) != sum(t, noise(blocking)) {
		t.Error("other bytes came back")
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestDelayReplies counts over two connections, and delays nothing that a client sends.
func TestDelayReplies(t *testing.T) {
	const late = 50 * time.Millisecond
	link := listen(t, echo(t))
	a, b := connect(t, link), connect(t, link)
	link.DelayReplies(3, late)
	slow := 0
	for range 3 {
		for _, conn := range []net.Conn{a, b} {
			start := time.Now()
			send(t, conn, "one")
			wantReply(t, conn, "one")
			if time.Since(start) >= late {
				slow++
			}
		}
	}
	if slow < 2 { // a busy machine may delay others
		t.Errorf("%d of 6 replies are late, want 2", slow)
	}
	link.DelayReplies(1, soon)
	link.DelayReplies(0, 0)
	send(t, a, "two")
	wantReply(t, a, "two")
}

// TestDrip: replies come byte by byte, and commands do not.
func TestDrip(t *testing.T) {
	const pause, reply = 10 * time.Millisecond, "replies"
	link := listen(t, echo(t))
	conn := connect(t, link)
	link.Drip(pause)
	start := time.Now()
	send(t, conn, reply)
	wantReply(t, conn, reply)
	if took := time.Since(start); took < time.Duration(len(reply)-1)*pause {
		t.Errorf("the reply took %v", took)
	}
	link.Drip(0)
	send(t, conn, reply)
	wantReply(t, conn, reply)
}
