package redistest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	loadDelay = 5 * time.Millisecond // per key, while the server loads
	loadValue = 2048                 // bytes per key
	loadEvery = 1024                 // dump bytes per look at the connections; the minimum
)

// Load makes the server load its dataset slowly, and returns when the server answers
// -LOADING. Other clients get -LOADING for nearly all commands until end is called, or for
// about 5 ms times n: 1000 keys take 5 s. INFO, CONFIG, HELLO and SUBSCRIBE are still
// served. A reply takes up to 5 ms, since the server looks at its connections only between
// two keys.
//
// The load is a DEBUG RELOAD, which keeps the server's dataset. Before it n keys of 2 KiB
// are added, named redistest:load:0 and so on. These keys stay.
//
// The function end returns when the server answers PING with PONG again. It may be called
// more than once, and on a server that has finished the load or was killed. The end of t
// calls it too.
func (s *Server) Load(t testing.TB, n int) (end func()) {
	t.Helper()
	s.do("debug", "populate", n, "redistest:load", loadValue)
	s.do("config", "set", "loading-process-events-interval-bytes", loadEvery)
	s.do("config", "set", "key-load-delay", loadDelay.Microseconds())
	reloaded := make(chan struct{})
	go s.reload(reloaded)
	end = sync.OnceFunc(func() { s.endLoad(t, reloaded) })
	t.Cleanup(end)
	Eventually(t, startWithin, "redistest: the server answers -LOADING", func() bool {
		return strings.HasPrefix(ping(s.Socket()), "-LOADING")
	})
	return end
}

// reload ignores its error: the call fails when the server is killed during the load, which
// tests may do.
func (s *Server) reload(done chan<- struct{}) {
	defer close(done)
	_ = s.client.Do(context.Background(), "debug", "reload").Err()
}

// endLoad sets the delay to zero, which Redis allows during a load.
func (s *Server) endLoad(t testing.TB, reloaded <-chan struct{}) {
	t.Helper()
	if !s.answers() {
		return
	}
	s.do("config", "set", "key-load-delay", 0)
	<-reloaded
	Eventually(t, startWithin, "redistest: the server has loaded", func() bool {
		return ping(s.Socket()) == "+PONG"
	})
}
