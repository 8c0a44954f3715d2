// Package mail is a stand-in for a provider of mail: an HTTP server that counts what it is
// given to send. As with real providers, the client names each mail, and a mail of a name is
// sent once.
package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Counts are the mails that a Server was given.
type Counts struct {
	Sent     int // different mails
	Repeated int // mails that came once more, and were not sent again
	Refused  int
}

// Server is the provider.
type Server struct {
	http *http.Server
	addr string

	mu      sync.Mutex // guards all below
	sent    map[string]bool
	to      map[string]int // mails sent, by recipient
	counts  Counts
	failing map[string]bool // recipients whose mails are refused
	held    chan struct{}   // mails wait until it is closed; nil if they do not wait
}

// Serve starts a Server on a free port of the loopback interface.
func Serve() (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the mail provider: %w", err)
	}
	s := &Server{addr: listener.Addr().String(), sent: make(map[string]bool), to: make(map[string]int), failing: make(map[string]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /mails/{id}", s.accept)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go s.http.Serve(listener)
	return s, nil
}

func (s *Server) accept(w http.ResponseWriter, r *http.Request) {
	to, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	if err != nil {
		http.Error(w, "the body ends early", http.StatusBadRequest)
		return
	}
	if !s.wait(r.Context()) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.PathValue("id")
	switch {
	case s.failing[string(to)]:
		s.counts.Refused++
		http.Error(w, "the mailbox does not exist", http.StatusUnprocessableEntity)
	case s.sent[id]:
		s.counts.Repeated++
	default:
		s.sent[id] = true
		s.to[string(to)]++
		s.counts.Sent++
	}
}

// wait waits while mails are held. It returns false if the client has left.
func (s *Server) wait(ctx context.Context) bool {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held == nil {
		return true
	}
	select {
	case <-held:
		return true
	case <-ctx.Done():
		return false
	}
}

// Hold makes the provider hang until release is called.
func (s *Server) Hold() (release func()) {
	held := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(held)
		s.held = nil
	}
}

// URL returns the address for Send.
func (s *Server) URL() string { return "http://" + s.addr }

// Fail makes the provider refuse the mails to a recipient, or accept them again.
func (s *Server) Fail(to string, fail bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing[to] = fail
}

// SentTo returns how many mails were sent to a recipient.
func (s *Server) SentTo(to string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to[to]
}

// Counts returns the numbers of requests.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Close ends the Server.
func (s *Server) Close() error { return s.http.Close() }

// Send gives the provider at url a mail of a name.
func Send(ctx context.Context, url, id, to string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url+"/mails/"+id, bytes.NewBufferString(to))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("send a mail: %w", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode != http.StatusOK {
		return errors.New("the mail provider refuses: " + strings.TrimSpace(string(text)))
	}
	return nil
}
