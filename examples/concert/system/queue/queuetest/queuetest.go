// Package queuetest has the tests of a message queue.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
)

// Servers are message queues to be tested.
type Servers struct {
	// Connect returns a function that returns Queues of one name, which no other test has.
	Connect func(*testing.T) func() queue.Queue

	// Away returns a Queue whose server is not up.
	Away func(*testing.T) queue.Queue

	// Hung is the reason of a dead letter whose handlers have not returned in time.
	Hung error
}

// kind is that of all messages of the tests.
const kind = "work"

// Run tests a message queue. The tests close the Queues.
func Run(t *testing.T, s Servers) {
	for name, test := range map[string]func(*testing.T){
		"A message is handled once":                                s.aMessageIsHandledOnce,
		"A failure is tried again":                                 s.aFailureIsTriedAgain,
		"What always fails is a dead letter until its replay":      s.whatAlwaysFailsIsADeadLetterUntilItsReplay,
		"A hopeless message is tried once":                         s.aHopelessMessageIsTriedOnce,
		"A message whose consumer does not ack is delivered again": s.aMessageWhoseConsumerDoesNotAckIsDeliveredAgain,
		"A message whose consumers all hang is a dead letter":      s.aMessageWhoseConsumersAllHangIsADeadLetter,
		"The server need not be up":                                s.theServerNeedNotBeUp,
		"A closed Queue takes no messages":                         s.aClosedQueueTakesNoMessages,
	} {
		t.Run(name, test)
	}
}

// connect returns a function that returns Queues of one name.
func (s Servers) connect(t *testing.T) func() queue.Queue {
	another := s.Connect(t)
	return func() queue.Queue {
		q := another()
		t.Cleanup(q.Close)
		return q
	}
}

func (s Servers) created(t *testing.T) queue.Queue {
	t.Helper()
	q := s.connect(t)()
	if err := q.Create(t.Context(), kind); err != nil {
		t.Fatal(err)
	}
	return q
}

// seen are the deliveries that a handler has had.
type seen struct {
	mu  sync.Mutex // guards all and at
	all []queue.Message
	at  []time.Time // when each delivery began
	new chan struct{}
}

func newSeen() *seen { return &seen{new: make(chan struct{}, 100)} }

// handler notes each message, and returns what fail returns for it.
func (s *seen) handler(fail func(queue.Message) error) queue.Handler {
	return func(_ context.Context, m queue.Message) error {
		now := time.Now()
		s.mu.Lock()
		s.all, s.at = append(s.all, m), append(s.at, now)
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
		case <-time.After(time.Minute):
			t.Fatal("no further delivery")
		}
	}
}

func succeed(queue.Message) error { return nil }

func publish(t *testing.T, q queue.Queue, id string) {
	t.Helper()
	if err := q.Publish(t.Context(), kind, id, []byte("body of "+id)); err != nil {
		t.Fatal(err)
	}
}

// awaitDepth waits until a queue has as many messages.
func awaitDepth(t *testing.T, q queue.Queue, want queue.Depth) {
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

func (s Servers) aMessageIsHandledOnce(t *testing.T) {
	q := s.created(t)
	got := newSeen()
	q.Handle(kind, 3, got.handler(succeed))
	publish(t, q, "a")
	publish(t, q, "b")
	got.next(t, 2)
	awaitDepth(t, q, queue.Depth{})
	if text := fmt.Sprint(got.all); text != "[{a work [98 111 100 121 32 111 102 32 97] 1} {b work [98 111 100 121 32 111 102 32 98] 1}]" {
		t.Errorf("deliveries: %s", text)
	}
}

func (s Servers) aFailureIsTriedAgain(t *testing.T) {
	q := s.created(t)
	got := newSeen()
	const attempts = 4
	q.Handle(kind, attempts, got.handler(func(m queue.Message) error {
		if m.Attempt < attempts {
			return errors.New("not yet")
		}
		return nil
	}))
	publish(t, q, "a")
	got.next(t, attempts)
	awaitDepth(t, q, queue.Depth{})
	for k := 1; k < attempts; k++ {
		if gap := got.at[k].Sub(got.at[k-1]); gap < queue.Pauses[k-1] {
			t.Errorf("attempt %d came %v after the one before, want %v at least", k+1, gap, queue.Pauses[k-1])
		}
	}
}

func (s Servers) whatAlwaysFailsIsADeadLetterUntilItsReplay(t *testing.T) {
	q := s.created(t)
	got := newSeen()
	var broken atomic.Bool
	broken.Store(true)
	q.Handle(kind, 2, got.handler(func(queue.Message) error {
		if broken.Load() {
			return errors.New("the recipient\nis unknown")
		}
		return nil
	}))
	publish(t, q, "a")
	got.next(t, 2)
	awaitDepth(t, q, queue.Depth{Dead: 1})
	letters, err := q.DeadLetters(t.Context(), 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("dead letters %v, error %v, want one", letters, err)
	}
	l := letters[0]
	if l.ID != "a" || l.Kind != "work" || l.Body != "body of a" || l.Reason != "the recipient is unknown" {
		t.Errorf("the letter is %+v", l)
	}
	broken.Store(false)
	if err := q.Replay(t.Context(), l.Name); err != nil {
		t.Fatal(err)
	}
	got.next(t, 1)
	awaitDepth(t, q, queue.Depth{})
	if id := got.all[2].ID; id != queue.ReplayID(l) || queue.FirstID(id) != "a" {
		t.Errorf("the id of the replayed message is %q", id)
	}
	if err := q.Replay(t.Context(), l.Name); err == nil {
		t.Error("a letter was replayed twice")
	}
}

func (s Servers) aHopelessMessageIsTriedOnce(t *testing.T) {
	q := s.created(t)
	got := newSeen()
	q.Handle(kind, 0, got.handler(func(queue.Message) error { return fmt.Errorf("%w: no number", queue.ErrHopeless) }))
	publish(t, q, "a")
	awaitDepth(t, q, queue.Depth{Dead: 1})
	if len(got.new) != 1 {
		t.Errorf("%d deliveries, want 1", len(got.new))
	}
}

// aMessageWhoseConsumerDoesNotAckIsDeliveredAgain: the first consumer hangs, as one that
// was killed would.
func (s Servers) aMessageWhoseConsumerDoesNotAckIsDeliveredAgain(t *testing.T) {
	q, another := s.hung(t)
	got := newSeen()
	another().Handle(kind, hangs, got.handler(succeed))
	got.next(t, 1)
	awaitDepth(t, q, queue.Depth{})
	if got.all[0].Attempt != 2 {
		t.Errorf("attempt %d, want the second", got.all[0].Attempt)
	}
}

func (s Servers) aMessageWhoseConsumersAllHangIsADeadLetter(t *testing.T) {
	q, another := s.hung(t)
	hang(t, another())
	got := newSeen()
	another().Handle(kind, hangs, got.handler(succeed))
	awaitDepth(t, q, queue.Depth{Dead: 1})
	letters, err := q.DeadLetters(t.Context(), 10)
	if err != nil || len(letters) != 1 || letters[0].ID != "a" || letters[0].Reason != s.Hung.Error() {
		t.Errorf("dead letters %+v, error %v, want one of %q", letters, err, s.Hung)
	}
	if n := len(got.new); n != 0 {
		t.Errorf("%d further deliveries, want none", n)
	}
}

// hung returns a Queue that hangs with the message "a", and a function that returns Queues of the
// same name.
func (s Servers) hung(t *testing.T) (queue.Queue, func() queue.Queue) {
	t.Helper()
	another := s.connect(t)
	q := another()
	if err := q.Create(t.Context(), kind); err != nil {
		t.Fatal(err)
	}
	publish(t, q, "a")
	hang(t, q)
	return q, another
}

// hangs is how many attempts a message of hang has.
const hangs = 2

// hang makes a Queue take a message, and waits until it has. The handler ignores its context, and
// returns at the end of the test only.
func hang(t *testing.T, q queue.Queue) {
	t.Helper()
	got := newSeen()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) }) // before the Close of q, which waits for the handler
	q.Handle(kind, hangs, got.handler(func(queue.Message) error {
		<-release
		return errors.New("too late")
	}))
	got.next(t, 1)
}

func (s Servers) theServerNeedNotBeUp(t *testing.T) {
	q := s.Away(t)
	q.Handle(kind, 3, newSeen().handler(succeed))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := q.Publish(ctx, kind, "a", nil); err == nil {
		t.Error("a message was published without a server")
	}
	q.Close()
}

func (s Servers) aClosedQueueTakesNoMessages(t *testing.T) {
	q := s.created(t)
	q.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := q.Publish(ctx, kind, "a", nil); err == nil {
		t.Error("a message was published after Close")
	}
}
