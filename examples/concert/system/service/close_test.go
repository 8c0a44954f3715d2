package service_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/service"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// slowQueue is a queue whose Publish ends some time after the end of the instance has begun.
type slowQueue struct {
	queue.Queue
	ending     context.Context
	publishing chan struct{} // receives a value for each Publish
	stopped    chan struct{} // closed by Stop
	running    atomic.Int64  // calls of Publish
	early      atomic.Bool   // Stop was called during a Publish
}

func (q *slowQueue) Publish(context.Context, string, string, []byte) error {
	q.running.Add(1)
	defer q.running.Add(-1)
	q.publishing <- struct{}{}
	<-q.ending.Done()
	select {
	case <-q.stopped:
	case <-time.After(50 * time.Millisecond):
	}
	return errors.New("the queue is away")
}

func (q *slowQueue) Stop() {
	q.early.Store(q.running.Load() > 0)
	close(q.stopped)
	q.Queue.Stop()
}

// TestCloseWaitsForTheRelay: the relay finishes the row that it publishes, and begins no other.
func TestCloseWaitsForTheRelay(t *testing.T) {
	s := newSystem(t)
	s.startDatabase(t)
	db := sqlite.Open(s.config.Database)
	defer db.Close()
	for _, email := range []string{"ada@example.org", "bob@example.org"} {
		if _, err := store.New(db).SignUp(t.Context(), email, "A", email); err != nil {
			t.Fatal(err)
		}
	}
	i, err := service.New(s.config)
	if err != nil {
		t.Fatal(err)
	}
	slow := &slowQueue{publishing: make(chan struct{}, 100), stopped: make(chan struct{})}
	i.WrapQueue(func(ending context.Context, q queue.Queue) queue.Queue {
		slow.Queue, slow.ending = q, ending
		return slow
	})
	service.Work(i)
	select {
	case <-slow.publishing:
	case <-time.After(within):
		t.Error("the relay publishes nothing")
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	if slow.early.Load() {
		t.Error("the queue was stopped while the relay published")
	}
	if n := len(slow.publishing); n > 0 {
		t.Errorf("the relay began %d more rows after the end had begun", n)
	}
}

// TestAnInstanceThatCannotBeMadeLeavesNoConnection: the version is looked at last.
func TestAnInstanceThatCannotBeMadeLeavesNoConnection(t *testing.T) {
	s := newSystem(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ended := make(chan error, 1)
	go func() { ended <- forwardOne(l, strings.TrimPrefix(s.config.Queue, "nats://")) }()
	c := s.config
	c.Version, c.Queue = 3, "nats://"+l.Addr().String()
	if _, err := service.New(c); err == nil || !strings.Contains(err.Error(), "there is no version 3") {
		t.Errorf("error %v, want that there is no such version", err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(within):
		t.Error("the connection to the queue stays")
	}
}

// forwardOne forwards one connection to addr, until the client ends it.
func forwardOne(l net.Listener, addr string) error {
	client, err := l.Accept()
	if err != nil {
		return err
	}
	defer client.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer server.Close()
	go func() { _, _ = io.Copy(client, server) }()
	_, err = io.Copy(server, client)
	return err
}
