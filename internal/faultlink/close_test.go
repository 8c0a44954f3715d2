package faultlink_test

import (
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/faultlink"
	"github.com/nearside-go/nearside/internal/redistest"
)

func TestCloseLeavesNoGoroutine(t *testing.T) {
	for name, set := range map[string]func(*faultlink.Link){
		"passing":  func(*faultlink.Link) {},
		"cut":      (*faultlink.Link).Cut,
		"frozen":   (*faultlink.Link).Freeze,
		"dropping": (*faultlink.Link).Drop,
		"dropped":  func(l *faultlink.Link) { l.Drop(); l.Restore() },
		"delayed":  func(l *faultlink.Link) { l.Delay(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			addr := echo(t)
			serving := runtime.NumGoroutine() - before
			link := listen(t, addr)
			old := connect(t, link)
			set(link)
			young, err := net.DialTimeout("tcp", link.Addr(), soon)
			for _, conn := range []net.Conn{old, young} {
				if err == nil {
					defer conn.Close()
					_, _ = io.WriteString(conn, "held back")
				}
			}
			<-time.After(brief)
			for range 2 {
				if err := link.Close(); err != nil {
					t.Error(err)
				}
			}
			if n := link.Conns(); n != 0 {
				t.Errorf("%d connections", n)
			}
			redistest.Eventually(t, soon, "the goroutines of link and connections have ended", func() bool {
				return runtime.NumGoroutine() <= before+serving
			})
			wantClosed(t, link)
		})
	}
}

// wantClosed fails if the link still listens. Setting faults must be harmless.
func wantClosed(t *testing.T, link *faultlink.Link) {
	t.Helper()
	link.Drop()
	link.Restore()
	if conn, err := net.Dial("tcp", link.Addr()); err == nil {
		_ = conn.Close()
		t.Error("the listener outlives Close")
	}
}

// TestFaultsAtOnce sets faults from some goroutines, while others use the link and
// take what comes, and then wants the link to be whole.
func TestFaultsAtOnce(t *testing.T) {
	link := listen(t, echo(t))
	faults := []func(){
		link.Cut, link.Freeze, link.Drop, link.Restore, link.Restore, link.KillAll,
		func() { link.KillOne() },
		func() { link.Conns() },
		func() { link.Delay(rand.N(time.Millisecond)) },
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(rand.N(2 * time.Millisecond)):
					faults[rand.N(len(faults))]()
				}
			}
		})
		running.Go(func() {
			for open(stop) {
				exchange(link.Addr())
			}
		})
	}
	<-time.After(10 * brief)
	close(stop)
	running.Wait()
	link.KillAll()
	link.Delay(0)
	link.Restore()
	connect(t, link)
	wantConns(t, link.Conns, 1)
}

func open(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	default:
		return true
	}
}

// exchange sends more than a chunk, and waits for its return only so long.
func exchange(addr string) {
	conn, err := net.DialTimeout("tcp", addr, brief)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(brief / 5))
	b := make([]byte, 100<<10)
	if _, err := conn.Write(b); err == nil {
		_, _ = io.ReadFull(conn, b)
	}
}
