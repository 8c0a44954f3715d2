package haproxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestAnInstanceThatIsRemovedIsForgotten: an instance that is removed still has a request.
// HAProxy forgets it at a change after that.
func TestAnInstanceThatIsRemovedIsForgotten(t *testing.T) {
	begun, release := make(chan struct{}, 100), make(chan struct{})
	ready := func(next http.HandlerFunc) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				next(w, r)
			}
		}))
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	free := sync.OnceFunc(func() { close(release) })
	busy := ready(func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-release
	})
	other := ready(func(http.ResponseWriter, *http.Request) {})
	b, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	addr, err := b.Listen("test", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	set := func(instances ...string) {
		t.Helper()
		if err := b.Set("test", instances); err != nil {
			t.Fatal(err)
		}
	}
	set(busy)
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + addr)
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	defer free() // before the server ends, which waits for the handler
	select {
	case <-begun:
	case err := <-answered:
		t.Fatalf("the request did not reach the instance, error %v", err)
	}
	set(other)
	free()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		set(other)
		servers, err := b.fronts["test"].command("show servers state front")
		if err == nil && len(b.fronts["test"].removed) == 0 && !strings.Contains(servers, busy) && strings.Contains(servers, other) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("HAProxy, error %v, still has %s:\n%s", err, busy, servers)
		}
	}
}
