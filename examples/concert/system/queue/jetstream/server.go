package jetstream

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Server is a NATS server with JetStream within this process.
type Server struct{ ns *server.Server }

// Serve starts a Server on a free port of the loopback interface. It keeps its messages in
// dir.
func Serve(dir string) (*Server, error) {
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: dir,
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		return nil, fmt.Errorf("make the message queue: %w", err)
	}
	go ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		ns.Shutdown()
		return nil, errors.New("the message queue does not start")
	}
	return &Server{ns}, nil
}

// URL returns the address for Connect.
func (s *Server) URL() string { return s.ns.ClientURL() }

// Close ends the server.
func (s *Server) Close() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}
