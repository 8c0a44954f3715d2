// Package queue is the message queue of the system, on NATS JetStream.
//
// A message is delivered until its handler has returned nil, so a handler may see a message
// twice. After a failure the message is delivered again, with a pause that grows. A message
// that has failed as often as its kind allows, or whose handler's process has died as often,
// goes to the dead letters, where it stays until Replay.
package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// The pauses between the attempts grow from the first to the longest, by a factor of 3.
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second

	// ackWithin is how long a handler may take. If its process dies, the message is delivered
	// again after that time.
	ackWithin = time.Second

	// callTimeout bounds all other calls to the server.
	callTimeout = 2 * time.Second
)

// Queue is a connection to the queue of one name. It is safe for concurrent use.
type Queue struct {
	name    string
	conn    *nats.Conn
	js      jetstream.JetStream
	work    sync.WaitGroup
	stopped context.CancelFunc
	ctx     context.Context
}

// Connect returns a Queue on the server at url, which need not be up.
func Connect(url, name string) (*Queue, error) {
	conn, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("connect to the message queue: %w", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	q := &Queue{name: name, conn: conn, js: js}
	q.ctx, q.stopped = context.WithCancel(context.Background())
	return q, nil
}

// Stop ends the handling of messages, and waits for the handlers that run.
func (q *Queue) Stop() {
	q.stopped()
	q.work.Wait()
}

// Close stops, and ends the connection.
func (q *Queue) Close() {
	q.Stop()
	q.conn.Close()
}

func (q *Queue) live() string { return "LIVE-" + q.name }
func (q *Queue) dead() string { return "DEAD-" + q.name }

func (q *Queue) subject(kind string) string     { return "live." + q.name + "." + kind }
func (q *Queue) deadSubject(kind string) string { return "dead." + q.name + "." + kind }

// Create creates the streams of the queue, if they are not there.
func (q *Queue) Create(ctx context.Context) error {
	for _, c := range []jetstream.StreamConfig{
		{Name: q.live(), Subjects: []string{q.subject("*")}, Retention: jetstream.WorkQueuePolicy, Duplicates: time.Minute},
		{Name: q.dead(), Subjects: []string{q.deadSubject("*")}, Duplicates: time.Minute},
	} {
		if _, err := q.js.CreateOrUpdateStream(ctx, c); err != nil {
			return fmt.Errorf("create the stream %s: %w", c.Name, err)
		}
	}
	return nil
}

// Publish appends a message. A message with an id that was published in the last minute is
// dropped.
func (q *Queue) Publish(ctx context.Context, kind, id string, body []byte) error {
	_, err := q.js.Publish(ctx, q.subject(kind), body, jetstream.WithMsgID(id))
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// Message is a delivered message.
type Message struct {
	ID      string
	Kind    string
	Body    []byte
	Attempt int // 1 for the first delivery
}

// ErrHopeless is wrapped by the error of a handler for a message that no attempt can help. The
// message goes to the dead letters at once.
var ErrHopeless = errors.New("queue: no attempt can help")

// Handle calls handler for the messages of a kind, one at a time, until Stop. All Queues of
// a name share the messages. handler's context ends when the message would be delivered
// again, and at Stop. attempts is how often a message is handed to a handler; 0 is no limit.
func (q *Queue) Handle(kind string, attempts int, handler func(context.Context, Message) error) {
	h := handling{q, kind, attempts, handler}
	q.work.Go(func() {
		for q.ctx.Err() == nil {
			if err := h.consume(); err != nil {
				pause(q.ctx, 200*time.Millisecond) // the server is away
			}
		}
	})
}

// handling says how messages of one kind are handled.
type handling struct {
	*Queue
	kind     string
	attempts int
	handler  func(context.Context, Message) error
}

func (q handling) consume() error {
	setup, cancel := context.WithTimeout(q.ctx, callTimeout)
	defer cancel()
	consumer, err := q.js.CreateOrUpdateConsumer(setup, q.live(), jetstream.ConsumerConfig{
		Durable: q.kind, FilterSubject: q.subject(q.kind),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWithin, MaxDeliver: -1, MaxAckPending: 1000,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1))
	if err != nil {
		return err
	}
	defer context.AfterFunc(q.ctx, messages.Stop)()
	defer messages.Stop()
	for {
		msg, err := messages.Next()
		if err != nil {
			return err
		}
		if err := q.deliver(msg); err != nil {
			return err
		}
	}
}

// deliver hands a message to the handler, and settles it.
func (q handling) deliver(msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return msg.Term()
	}
	m := Message{ID: msg.Headers().Get(nats.MsgIdHdr), Kind: q.kind, Body: msg.Data(), Attempt: int(meta.NumDelivered)}
	if q.attempts > 0 && m.Attempt > q.attempts { // its handler's process has died each time, or the last time
		return q.bury(m, msg, errors.New("the process died while it handled the message"))
	}
	ctx, cancel := context.WithTimeout(q.ctx, ackWithin)
	defer cancel()
	failure := q.handler(ctx, m)
	switch {
	case failure == nil:
		return msg.Ack()
	case q.ctx.Err() != nil:
		return msg.Nak() // this instance ends: another one has its turn at once
	case errors.Is(failure, ErrHopeless), q.attempts > 0 && m.Attempt >= q.attempts:
		return q.bury(m, msg, failure)
	}
	return msg.NakWithDelay(pauseAfter(m.Attempt))
}

// pauseAfter is the pause after a failed attempt.
func pauseAfter(attempt int) time.Duration {
	d := firstPause
	for range attempt - 1 {
		d = min(3*d, longestPause)
	}
	return d
}

const (
	reasonHeader = "Concert-Reason"
	idHeader     = "Concert-Id"
)

// bury moves a message to the dead letters. If the process dies in between, the message is
// delivered once more and buried then. The dead letter's id keeps it from being there twice.
func (q *Queue) bury(m Message, msg jetstream.Msg, why error) error {
	letter := nats.NewMsg(q.deadSubject(m.Kind))
	letter.Data = m.Body
	letter.Header.Set(reasonHeader, strings.ReplaceAll(why.Error(), "\n", " "))
	letter.Header.Set(idHeader, m.ID)
	ctx, cancel := context.WithTimeout(q.ctx, callTimeout)
	defer cancel()
	if _, err := q.js.PublishMsg(ctx, letter, jetstream.WithMsgID("dead-"+m.ID)); err != nil {
		return errors.Join(err, msg.NakWithDelay(firstPause))
	}
	return msg.Ack()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
