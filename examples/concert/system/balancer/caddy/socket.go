package caddy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

// network is the name under which Caddy finds the sockets of this package. With sockets of its
// own Caddy loses connections when its configuration changes:
//
//  1. Caddy opens a second socket for the new configuration, and closes the first one. The
//     connections that wait in it to be accepted are reset.
//  2. The server of the old configuration accepts a connection, and begins to shut down. Then
//     it reads the request, and closes the connection without an answer.
//
// Here one socket stays open. Once the new configuration has its turn, the old one gets no
// more connections, and begins to shut down a moment later.
const network = "concert"

func init() {
	caddy.RegisterNetwork(network, func(_ context.Context, _, host, port string, _ uint, _ net.ListenConfig) (any, error) {
		return sockets.turn(net.JoinHostPort(host, port))
	})
}

// sockets are the open sockets of this process, by address.
var sockets pool

type pool struct {
	mu   sync.Mutex // guards open
	open map[string]*socket
}

// listen opens a socket.
func (p *pool) listen(addr string) (*socket, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &socket{Listener: l, done: make(chan struct{}), changed: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = make(map[string]*socket)
	}
	p.open[l.Addr().String()] = s
	go s.accept()
	return s, nil
}

func (p *pool) turn(addr string) (net.Listener, error) {
	p.mu.Lock()
	s, ok := p.open[addr]
	p.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("no socket is open at %s", addr)
	}
	t := &turn{socket: s, conns: make(chan net.Conn), over: make(chan struct{})}
	s.change(func(turns []*turn) []*turn { return append(turns, t) })
	return t, nil
}

// shut closes a socket, and the connections that wait for a turn.
func (p *pool) shut(s *socket) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, s.Addr().String())
	close(s.done)
	return s.Listener.Close()
}

// socket is open for as long as its front.
type socket struct {
	net.Listener
	done chan struct{} // closed with the socket

	mu      sync.Mutex // guards all below
	turns   []*turn    // the newest is last
	changed chan struct{}
}

func (s *socket) change(how func([]*turn) []*turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns = how(s.turns)
	close(s.changed)
	s.changed = make(chan struct{})
}

// newest returns the channel of the newest turn, nil if there is none, and a channel that is
// closed when that changes.
func (s *socket) newest() (conns chan<- net.Conn, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.turns); n > 0 {
		conns = s.turns[n-1].conns
	}
	return conns, s.changed
}

// accept gives each connection to the newest turn, until the socket is closed.
func (s *socket) accept() {
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			return
		}
		if !s.pass(conn) {
			_ = conn.Close()
		}
	}
}

func (s *socket) pass(conn net.Conn) bool {
	for {
		conns, changed := s.newest()
		select {
		case conns <- conn:
			return true
		case <-changed:
		case <-s.done:
			return false
		}
	}
}

// turn is a socket as one configuration of Caddy has it. Its Close ends the turn and leaves
// the socket open.
type turn struct {
	*socket
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}
}

func (t *turn) Accept() (net.Conn, error) {
	select {
	case conn := <-t.conns:
		return conn, nil
	case <-t.over:
	case <-t.done:
	}
	return nil, net.ErrClosed
}

func (t *turn) Close() error {
	t.once.Do(func() {
		close(t.over)
		t.change(func(turns []*turn) []*turn {
			return slices.DeleteFunc(turns, func(other *turn) bool { return other == t })
		})
	})
	return nil
}
