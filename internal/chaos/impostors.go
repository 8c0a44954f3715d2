package chaos

import (
	"crypto/rand"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// impostors are the faults under which another server has Redis' port.
func impostors() []Fault {
	web := func(start func(*httptest.Server)) func(*scene, net.Listener) (end func()) {
		return func(_ *scene, l net.Listener) func() {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			_ = server.Listener.Close()
			server.Listener = l
			server.Config.ErrorLog = log.New(io.Discard, "", 0) // a line for each failed handshake
			start(server)
			return server.Close
		}
	}
	replies := func(reply func() []byte) func(*scene, net.Listener) func() {
		return func(_ *scene, l net.Listener) func() { return answer(l, reply) }
	}
	http := impostor("http", web((*httptest.Server).Start))
	return []Fault{
		http, borrowed(http),
		impostor("garbage", replies(func() []byte {
			b := make([]byte, 64)
			_, _ = rand.Read(b)
			return b
		})),
		impostor("huge", replies(func() []byte { return []byte("$1000000000\r\nx") })),
		impostor("okok", replies(func() []byte { return []byte("+OK\r\n+OK\r\n") })),
		impostor("tls", web((*httptest.Server).StartTLS)),
	}
}

// impostor returns a fault: Redis is killed, and another server has its port.
func impostor(name string, serve func(*scene, net.Listener) (end func())) Fault {
	return Fault{Name: name, on: one, gone: true, strike: func(s *scene) func() {
		s.server.Kill()
		end := serve(s, s.listen())
		return func() {
			end()
			s.server.Restart()
		}
	}}
}

// answer accepts connections, and replies to whatever comes. The returned function closes
// all, and returns when no connection is left.
func answer(l net.Listener, reply func() []byte) (end func()) {
	var running sync.WaitGroup
	var mu sync.Mutex // guards conns
	var conns []net.Conn
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			running.Go(func() { reciprocate(conn, reply) })
		}
	})
	return func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		running.Wait()
	}
}

// reciprocate sends a reply for each read, until the connection ends.
func reciprocate(conn net.Conn, reply func() []byte) {
	defer conn.Close()
	b := make([]byte, 4096)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
		if _, err := conn.Write(reply()); err != nil {
			return
		}
	}
}
