package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
)

// connect returns a function that returns Queues of one name on a server of their own.
func connect(t *testing.T) func() *queue.Queue {
	t.Helper()
	server, err := queue.Serve(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return func() *queue.Queue {
		q, err := queue.Connect(server.URL(), "test")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(q.Close)
		return q
	}
}

func created(t *testing.T) *queue.Queue {
	t.Helper()
	q := connect(t)()
	if err := q.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return q
}

// seen are the deliveries that a handler has had.
type seen struct {
	mu  sync.Mutex // guards all
	all []queue.Message
	new chan struct{}
}

func newSeen() *seen { return &seen{new: make(chan struct{}, 100)} }

// handler notes each message, and returns what fail returns for it.
func (s *seen) handler(fail func(queue.Message) error) func(context.Context, queue.Message) error {
	return func(_ context.Context, m queue.Message) error {
		s.mu.Lock()
		s.all = append(s.all, m)
		s.mu.Unlock()
		s.new <- struct{}{}
		return fail(m)
	}
}

// next waits for n deliveries.
func (s *seen) next(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-s.new:
		case <-time.After(20 * time.Second):
			t.Fatal("no further delivery")
		}
	}
}

func succeed(queue.Message) error { return nil }

func publish(t *testing.T, q *queue.Queue, id string) {
	t.Helper()
	if err := q.Publish(t.Context(), "work", id, []byte("body of "+id)); err != nil {
		t.Fatal(err)
	}
}

// awaitDepth waits until a queue has as many messages.
func awaitDepth(t *testing.T, q *queue.Queue, want queue.Depth) {
	t.Helper()
	var now queue.Depth
	var err error
	for ctx, tick := t.Context(), time.NewTicker(5*time.Millisecond); ; <-tick.C {
		if now, err = q.Depth(ctx); err == nil && now == want {
			return
		}
		if ctx.Err() != nil || pastDeadline(t) {
			t.Fatalf("the depth is %+v, error %v, want %+v", now, err, want)
		}
	}
}

func pastDeadline(t *testing.T) bool {
	end, ok := t.Deadline()
	return ok && time.Until(end) < 10*time.Second
}

func TestAMessageIsHandledOnce(t *testing.T) {
	q := created(t)
	s := newSeen()
	q.Handle("work", 3, s.handler(succeed))
	publish(t, q, "a")
	publish(t, q, "a") // the queue drops it
	publish(t, q, "b")
	s.next(t, 2)
	awaitDepth(t, q, queue.Depth{})
	if got := fmt.Sprint(s.all); got != "[{a work [98 111 100 121 32 111 102 32 97] 1} {b work [98 111 100 121 32 111 102 32 98] 1}]" {
		t.Errorf("deliveries: %s", got)
	}
}

func TestAFailureIsTriedAgain(t *testing.T) {
	q := created(t)
	s := newSeen()
	q.Handle("work", 3, s.handler(func(m queue.Message) error {
		if m.Attempt < 3 {
			return errors.New("not yet")
		}
		return nil
	}))
	publish(t, q, "a")
	s.next(t, 3)
	awaitDepth(t, q, queue.Depth{})
}

func TestWhatAlwaysFailsIsADeadLetterUntilItsReplay(t *testing.T) {
	q := created(t)
	s := newSeen()
	broken := true
	q.Handle("work", 2, s.handler(func(queue.Message) error {
		if broken {
			return errors.New("the recipient\nis unknown")
		}
		return nil
	}))
	publish(t, q, "a")
	s.next(t, 2)
	awaitDepth(t, q, queue.Depth{Dead: 1})
	letters, err := q.DeadLetters(t.Context(), 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("dead letters %v, error %v, want one", letters, err)
	}
	l := letters[0]
	if l.ID != "a" || l.Kind != "work" || l.Body != "body of a" || l.Reason != "the recipient is unknown" {
		t.Errorf("the letter is %+v", l)
	}
	broken = false // the handler runs next after the Replay
	if err := q.Replay(t.Context(), l.Number); err != nil {
		t.Fatal(err)
	}
	s.next(t, 1)
	awaitDepth(t, q, queue.Depth{})
	if id := s.all[2].ID; id != "a-replay-1" {
		t.Errorf("the id of the replayed message is %q", id)
	}
	if err := q.Replay(t.Context(), l.Number); err == nil {
		t.Error("a letter was replayed twice")
	}
}

func TestAHopelessMessageIsTriedOnce(t *testing.T) {
	q := created(t)
	s := newSeen()
	q.Handle("work", 0, s.handler(func(queue.Message) error { return fmt.Errorf("%w: no number", queue.ErrHopeless) }))
	publish(t, q, "a")
	awaitDepth(t, q, queue.Depth{Dead: 1})
	if len(s.new) != 1 {
		t.Errorf("%d deliveries, want 1", len(s.new))
	}
}

// TestAMessageWhoseConsumerDoesNotAckIsDeliveredAgain: the first consumer hangs, as one that
// was killed would.
func TestAMessageWhoseConsumerDoesNotAckIsDeliveredAgain(t *testing.T) {
	another := connect(t)
	q := another()
	if err := q.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	hung := make(chan struct{})
	release := make(chan struct{})
	q.Handle("work", 3, func(context.Context, queue.Message) error {
		close(hung)
		<-release
		return errors.New("too late")
	})
	defer close(release) // before the Close of q, which waits for the handler
	publish(t, q, "a")
	<-hung
	s := newSeen()
	another().Handle("work", 3, s.handler(succeed))
	s.next(t, 1)
	awaitDepth(t, q, queue.Depth{})
	if s.all[0].Attempt != 2 {
		t.Errorf("attempt %d, want the second", s.all[0].Attempt)
	}
}

func TestTheServerNeedNotBeUp(t *testing.T) {
	q, err := queue.Connect("nats://127.0.0.1:1", "test")
	if err != nil {
		t.Fatal(err)
	}
	q.Handle("work", 3, newSeen().handler(succeed))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := q.Publish(ctx, "work", "a", nil); err == nil {
		t.Error("a message was published without a server")
	}
	q.Close()
}
