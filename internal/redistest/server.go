package redistest

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	binary       = "redis-server"
	startWithin  = 10 * time.Second // how long a server may take to answer its first PING
	adminTimeout = time.Minute      // how long the admin client waits for a reply
	drawsOfPorts = 10               // how many ports Start tries before it gives up
	loopback     = "127.0.0.1"
	socketName   = "s"
	logName      = "log"
	dumpName     = "dump.rdb"
	socketMax    = 100 // bytes of a socket's path; kernels allow 108 or 104 with a final zero
)

// Server is one redis-server process. Its methods are safe for concurrent use.
type Server struct {
	t      testing.TB
	dir    string
	port   int
	line   func(*Server) ([]string, error) // makes the command line for the current port
	client *goredis.Client
	dump   []byte // what the next process reads; nil for an empty server

	mu     sync.Mutex // guards proc and paused
	proc   *process
	paused bool
}

// Available reports whether a redis-server is on PATH.
func Available() bool {
	_, err := exec.LookPath(binary)
	return err == nil
}

// Start starts one server, and returns when the server answers PING. The server has no
// persistence, allows DEBUG, and sends the dataset to a new replica without the usual
// delay. The args are appended to the command line, for example "--maxmemory", "10mb", and
// override the settings of Start. Do not set a password through args, which Start does not
// know: set the password through [Server.Client].
//
// At the end of t the server is killed, and its directory removed.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, func(s *Server) ([]string, error) { return append(s.flags(), args...), nil })
}

// start starts a server. The function line makes its command line, for each port that is
// drawn.
func start(t testing.TB, line func(*Server) ([]string, error)) *Server {
	t.Helper()
	Require(t)
	s := &Server{t: t, dir: shortDir(t), line: line}
	s.client = adminClient(s.Socket())
	t.Cleanup(s.cleanup)
	if err := s.launchAnywhere(); err != nil {
		t.Fatalf("redistest: start: %v", err)
	}
	return s
}

// Require skips t if there is no redis-server. With CI set it fails t instead. Start calls
// Require.
func Require(t testing.TB) {
	t.Helper()
	switch {
	case Available():
	case os.Getenv("CI") != "":
		t.Fatal("redistest: CI is set and no redis-server is on PATH: install Redis 7.0 or later")
	default:
		t.Skip("redistest: no redis-server is on PATH: install Redis 7.0 or later to run this test")
	}
}

// shortDir makes the server's directory. It does not use t.TempDir, whose path holds the
// test's name and may leave too few bytes for a unix socket.
func shortDir(t testing.TB) string {
	t.Helper()
	parent := os.TempDir()
	if len(parent)+len("/rt4294967295/")+len(socketName) > socketMax {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "rt")
	if err != nil {
		t.Fatalf("redistest: start: %v", err)
	}
	return dir
}

// adminClient makes a client, which does not dial yet. The client never retries, so that
// each command runs once, and sends no CLIENT commands of its own.
func adminClient(socket string) *goredis.Client {
	name, password := credentials()
	return goredis.NewClient(&goredis.Options{
		Username:        name,
		Password:        password,
		Network:         "unix",
		Addr:            socket,
		Protocol:        2,
		MaxRetries:      -1,
		DialTimeout:     startWithin,
		ReadTimeout:     adminTimeout,
		WriteTimeout:    adminTimeout,
		PoolTimeout:     adminTimeout,
		DisableIdentity: true,
	})
}

// flags returns the command line that all servers share, except Sentinels. RDB compression
// is off for Load: each key is as long in the file as in memory.
func (s *Server) flags() []string {
	return append([]string{
		"--port", strconv.Itoa(s.port),
		"--bind", loopback,
		"--unixsocket", s.Socket(),
		"--dir", s.dir,
		"--dbfilename", dumpName,
		"--save", "",
		"--appendonly", "no",
		"--protected-mode", "no",
		"--enable-debug-command", "yes",
		"--repl-diskless-sync-delay", "0",
		"--rdbcompression", "no",
	}, userFlags()...)
}

// cleanup works for a server in any state, also for a server that never started. SIGKILL
// ends stopped processes too.
func (s *Server) cleanup() {
	if p := s.process(); p != nil {
		p.kill()
	}
	release(s.port)
	if err := errors.Join(s.client.Close(), os.RemoveAll(s.dir)); err != nil {
		s.t.Errorf("redistest: cleanup: %v", err)
	}
}

// Addr returns host:port of the server's TCP listener.
func (s *Server) Addr() string { return net.JoinHostPort(loopback, strconv.Itoa(s.port)) }

// Socket returns the path of the server's unix socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, socketName) }

// URL returns the server's TCP address in the form of go-redis' ParseURL, with database 0.
func (s *Server) URL() string { return "redis://" + s.Addr() + "/0" }

// Client returns the server's one admin client, which all callers share. The client uses
// the unix socket, waits a minute for a reply, and never retries. It can be used across
// Kill and Restart. The cleanup closes the client; callers do not.
func (s *Server) Client() *goredis.Client { return s.client }

// PID returns the process id of the server, or of its last process after [Server.Kill].
func (s *Server) PID() int { return s.process().pid() }

// do runs one admin command and fails the test on an error.
func (s *Server) do(args ...any) *goredis.Cmd {
	s.t.Helper()
	cmd := s.client.Do(context.Background(), args...)
	if err := cmd.Err(); err != nil {
		s.t.Fatalf("redistest: %v: %v", args[0], err)
	}
	return cmd
}
