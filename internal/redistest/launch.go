package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	firstPort = 10000 // the lowest port of a server
	ports     = 10000 // how many ports there are
	busOffset = 10000 // from a server's port to the port of its cluster bus; fixed by Redis
)

// errPortTaken reports that a server ended because another process listens on its port.
var errPortTaken = errors.New("port taken")

// launchAnywhere draws ports until the server starts, at most drawsOfPorts times.
func (s *Server) launchAnywhere() error {
	err := errPortTaken
	for range drawsOfPorts {
		release(s.port)
		s.port = drawPort()
		if err = s.launch(); !errors.Is(err, errPortTaken) {
			break
		}
	}
	return err
}

// claimed are the ports of the servers of this process. While a server is killed nobody listens
// at its port, and another server that starts must not get the port.
var claimed = struct {
	mu    sync.Mutex // guards ports
	ports map[int]bool
}{ports: make(map[int]bool)}

// drawPort claims a port that was free a moment ago, together with its port for a cluster
// bus.
func drawPort() int {
	for {
		if port := firstPort + rand.IntN(ports); claim(port) {
			return port
		}
	}
}

// claim reports whether the port is free, and of no other server of this process. Until release
// the port is claimed.
func claim(port int) bool {
	claimed.mu.Lock()
	defer claimed.mu.Unlock()
	if claimed.ports[port] || !free(port) || !free(port+busOffset) {
		return false
	}
	claimed.ports[port] = true
	return true
}

func release(port int) {
	claimed.mu.Lock()
	defer claimed.mu.Unlock()
	delete(claimed.ports, port)
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// launch starts the process on the current port, and waits until the server answers.
func (s *Server) launch() error {
	args, err := s.line(s)
	if err != nil {
		return err
	}
	// A replica's sync and Load leave a dump, which the next process would read.
	if err := os.RemoveAll(filepath.Join(s.dir, dumpName)); err != nil {
		return err
	}
	if s.dump != nil {
		if err := os.WriteFile(filepath.Join(s.dir, dumpName), s.dump, 0o600); err != nil {
			return err
		}
	}
	p, err := spawn(args, filepath.Join(s.dir, logName))
	if err != nil {
		return err
	}
	s.adopt(p)
	return s.awaitReady(p)
}

// adopt makes p the server's process.
func (s *Server) adopt(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc, s.paused = p, false
}

// awaitReady returns nil once the server answers PING on its unix socket. The socket's path
// belongs to this server, so the answer cannot come from another server that has got the
// port first.
func (s *Server) awaitReady(p *process) error {
	var reply string
	poll(startWithin, func() bool {
		reply = ping(s.Socket())
		return reply == "+PONG" || p.ended()
	})
	if reply == "+PONG" {
		return nil
	}
	if p.ended() && s.logged("Failed listening on port") {
		return errPortTaken
	}
	p.kill()
	return fmt.Errorf("no answer to PING, last reply %q, log:\n%s", reply, s.log())
}

// log returns the output of the last process.
func (s *Server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, logName))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) logged(text string) bool { return strings.Contains(s.log(), text) }

// ping sends PING over a connection of its own. It returns the first line of the reply, or
// "" if there is none. It does not use go-redis, which writes a line to stderr for each
// dial that fails.
func ping(socket string) string {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second)) // a failure shows in the read
	replies := bufio.NewReader(conn)
	send := func(command string) string {
		if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
			return ""
		}
		line, _ := replies.ReadString('\n')
		return strings.TrimSpace(line)
	}
	if name, password := credentials(); name != "" {
		_ = send("AUTH " + name + " " + password)
	}
	return send("PING")
}
