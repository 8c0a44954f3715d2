package redistest

import (
	"errors"
	"os"
	"path/filepath"
)

// Pause stops the server with SIGSTOP, and returns when the process is stopped. Until
// [Server.Resume] connections are accepted, by the kernel, and nothing is answered.
func (s *Server) Pause() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := suspend(s.proc.cmd.Process); err != nil {
		s.t.Fatalf("redistest: pause: %v", err)
	}
	if !poll(startWithin, func() bool { return suspended(s.proc.pid()) }) {
		s.t.Fatal("redistest: pause: the server is still running")
	}
	s.paused = true
}

// Resume continues a paused server with SIGCONT. The server then carries out the commands
// that clients sent during the pause.
func (s *Server) Resume() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := resume(s.proc.cmd.Process); err != nil {
		s.t.Fatalf("redistest: resume: %v", err)
	}
	s.paused = false
}

// Kill ends the server with SIGKILL, and returns when the process is gone. From then on
// connections to the server's address are refused. A paused server can be killed. To kill a
// server again does nothing.
func (s *Server) Kill() { s.process().kill() }

// Save returns a dump of what the server has.
func (s *Server) Save() []byte {
	s.t.Helper()
	s.do("save")
	dump, err := os.ReadFile(filepath.Join(s.dir, dumpName))
	if err != nil {
		s.t.Fatal("redistest: save:", err)
	}
	return dump
}

// RestartFrom is Restart with what a dump of Save has.
func (s *Server) RestartFrom(dump []byte) {
	s.t.Helper()
	s.dump = dump
	defer func() { s.dump = nil }()
	s.Restart()
}

// Restart starts a killed server again, with the same command line, on the same port and
// socket, and returns when the server answers PING. The new server is empty and has no
// scripts. A cluster node is still in its cluster.
func (s *Server) Restart() {
	s.t.Helper()
	if !s.process().ended() {
		s.t.Fatal("redistest: restart: the server is running: Kill it first")
	}
	var err error
	poll(startWithin, func() bool {
		err = s.launch()
		return !errors.Is(err, errPortTaken)
	})
	if err != nil {
		s.t.Fatalf("redistest: restart: %v", err)
	}
}

// process returns the current process, or nil if no process was ever started.
func (s *Server) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// answers reports whether the server is not killed or paused.
func (s *Server) answers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.paused && !s.proc.ended()
}
