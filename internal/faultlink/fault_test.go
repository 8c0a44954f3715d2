package faultlink_test

import (
	"net"
	"testing"
	"time"
)

func TestCut(t *testing.T) {
	link := listen(t, echo(t))
	a, b := connect(t, link), connect(t, link)
	for range 2 {
		link.Cut()
		if n := link.Conns(); n != 0 {
			t.Errorf("%d connections", n)
		}
	}
	wantReset(t, a)
	wantReset(t, b)
	for range 10 {
		wantRefused(t, link)
	}
	link.Restore()
	link.Restore()
	connect(t, link)
	wantConns(t, link.Conns, 1)
}

// TestCutResetsTheServer: the server must not take it for a regular end.
func TestCutResetsTheServer(t *testing.T) {
	addr, ended := echoOne(t)
	link := listen(t, addr)
	connect(t, link)
	link.Cut()
	wantServerReset(t, ended)
}

func TestFreeze(t *testing.T) {
	link := listen(t, echo(t))
	old := connect(t, link)
	link.Freeze()
	link.Freeze()
	young := dial(t, link)
	for _, conn := range []net.Conn{old, young} {
		send(t, conn, "one ")
		wantSilence(t, conn)
		send(t, conn, "two")
	}
	wantConns(t, link.Conns, 2)
	link.Restore()
	for _, conn := range []net.Conn{old, young} {
		wantReply(t, conn, "one two")
	}
}

// TestFreezeHoldsBackTheEnd: not even that the server is gone can be seen.
func TestFreezeHoldsBackTheEnd(t *testing.T) {
	hangUp, ended := make(chan struct{}), make(chan struct{})
	link := listen(t, serve(t, func(conn net.Conn) {
		b := make([]byte, 5)
		_, _ = conn.Read(b)
		_, _ = conn.Write(b)
		<-hangUp
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
		close(ended)
	}))
	conn := connect(t, link)
	link.Freeze()
	close(hangUp)
	<-ended
	wantSilence(t, conn)
	link.Restore()
	wantReset(t, conn)
}

func TestDrop(t *testing.T) {
	link := listen(t, echo(t))
	old := connect(t, link)
	link.Drop()
	link.Drop()
	young := dial(t, link)
	send(t, young, "lost")
	wantConns(t, link.Conns, 2)
	for _, conn := range []net.Conn{old, young} {
		send(t, conn, "lost")
		wantSilence(t, conn)
	}
	link.Restore()
	for _, conn := range []net.Conn{old, young} {
		wantSilence(t, conn)
		send(t, conn, "lost too")
		wantSilence(t, conn)
	}
	connect(t, link)
	wantConns(t, link.Conns, 3)
	_ = old.Close()
	_ = young.Close()
	wantConns(t, link.Conns, 1)
}

// TestDropAfterFreeze: what Freeze held back is lost, and a later Freeze and
// Restore do not bring it back.
func TestDropAfterFreeze(t *testing.T) {
	link := listen(t, echo(t))
	conn := connect(t, link)
	link.Freeze()
	send(t, conn, "lost")
	wantSilence(t, conn)
	link.Drop()
	link.Freeze()
	link.Restore()
	wantSilence(t, conn)
	connect(t, link)
}

// TestDropHidesTheEnd: while the fault lasts the server does not learn that its
// client has gone, and after it the server does.
func TestDropHidesTheEnd(t *testing.T) {
	addr, ended := echoOne(t)
	link := listen(t, addr)
	conn := connect(t, link)
	link.Drop()
	_ = conn.Close()
	select {
	case err := <-ended:
		t.Fatalf("the server read %v", err)
	case <-time.After(brief):
	}
	link.Restore()
	wantServerReset(t, ended)
	wantConns(t, link.Conns, 0)
}

func TestKill(t *testing.T) {
	link := listen(t, echo(t))
	if link.KillOne() {
		t.Error("killed one of none")
	}
	first, second, third := connect(t, link), connect(t, link), connect(t, link)
	if !link.KillOne() || link.Conns() != 2 {
		t.Errorf("%d connections after KillOne", link.Conns())
	}
	wantReset(t, first)
	send(t, second, "still here")
	wantReply(t, second, "still here")
	link.KillAll()
	link.KillAll()
	if n := link.Conns(); n != 0 {
		t.Errorf("%d connections after KillAll", n)
	}
	wantReset(t, second)
	wantReset(t, third)
	connect(t, link)
}

// TestKillWhileFrozen: an explicit reset is seen under a fault as well.
func TestKillWhileFrozen(t *testing.T) {
	link := listen(t, echo(t))
	conn := connect(t, link)
	link.Freeze()
	link.KillAll()
	wantReset(t, conn)
}
