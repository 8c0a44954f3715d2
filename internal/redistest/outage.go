package redistest

import (
	"errors"
)

// Pause stops the server with SIGSTOP and returns when it is stopped. Until [Server.Resume] it accepts connections, because the
// kernel does, and answers nothing.
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

// Resume lets a paused server run again with SIGCONT. Commands that clients sent during the pause are then executed.
func (s *Server) Resume() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := resume(s.proc.cmd.Process); err != nil {
		s.t.Fatalf("redistest: resume: %v", err)
	}
	s.paused = false
}

// Kill ends the server with SIGKILL and returns when the process is gone. Connections to its address are refused from then on.
// A paused server can be killed; a killed one stays as it is.
func (s *Server) Kill() { s.process().kill() }

// Restart starts a killed server again, with the same command line, on the same port and socket, and returns when it answers
// PING. It is empty and knows no scripts, but a cluster node still knows its cluster.
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

// process returns the current process, or nil if none was ever started.
func (s *Server) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// answers reports whether the server is neither killed nor paused.
func (s *Server) answers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.paused && !s.proc.ended()
}
