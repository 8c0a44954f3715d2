// Package jetstream is a message queue on NATS JetStream, whose server can run within a process.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
)

// callTimeout bounds the calls to the server that have no context of their own.
const callTimeout = 2 * time.Second

// Queue is a queue.Queue. It drops a message with an id that was published in the last minute.
type Queue struct {
	name    string
	conn    *nats.Conn
	js      jetstream.JetStream
	work    sync.WaitGroup
	stopped context.CancelFunc
	ctx     context.Context
}

var _ queue.Queue = (*Queue)(nil)

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
func (q *Queue) Create(ctx context.Context, kinds ...string) error {
	var live, dead []string
	for _, kind := range kinds {
		live, dead = append(live, q.subject(kind)), append(dead, q.deadSubject(kind))
	}
	for _, c := range []jetstream.StreamConfig{
		{Name: q.live(), Subjects: live, Retention: jetstream.WorkQueuePolicy, Duplicates: time.Minute},
		{Name: q.dead(), Subjects: dead, Duplicates: time.Minute},
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

// Handle calls handler for the messages of a kind.
func (q *Queue) Handle(kind string, attempts int, handler queue.Handler) {
	q.work.Go(func() { queue.Keep(q.ctx, handling{q, kind, attempts, handler}.consume) })
}

// handling is the handling of the messages of one kind.
type handling struct {
	*Queue
	kind     string
	attempts int
	handler  queue.Handler
}

func (q handling) consume() error {
	setup, cancel := context.WithTimeout(q.ctx, callTimeout)
	defer cancel()
	consumer, err := q.js.CreateOrUpdateConsumer(setup, q.live(), jetstream.ConsumerConfig{
		Durable: q.kind, FilterSubject: q.subject(q.kind),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: queue.AckWithin, MaxDeliver: -1, MaxAckPending: 1000,
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
	m := queue.Message{ID: msg.Headers().Get(nats.MsgIdHdr), Kind: q.kind, Body: msg.Data(), Attempt: int(meta.NumDelivered)}
	if q.attempts > 0 && m.Attempt > q.attempts { // its handler's process has died each time, or the last time
		return q.bury(m, msg, queue.ErrDied)
	}
	ctx, cancel := context.WithTimeout(q.ctx, queue.AckWithin)
	defer cancel()
	failure := q.handler(ctx, m)
	switch {
	case failure == nil:
		return msg.Ack()
	case q.ctx.Err() != nil:
		return msg.Nak() // this instance ends: another one has its turn at once
	case errors.Is(failure, queue.ErrHopeless), q.attempts > 0 && m.Attempt >= q.attempts:
		return q.bury(m, msg, failure)
	}
	return msg.NakWithDelay(queue.PauseAfter(m.Attempt))
}

const (
	reasonHeader = "Concert-Reason"
	idHeader     = "Concert-Id"
)

// bury moves a message to the dead letters. If the process dies in between, the message is
// delivered once more and buried then. The dead letter's id keeps it from being there twice.
func (q *Queue) bury(m queue.Message, msg jetstream.Msg, why error) error {
	letter := nats.NewMsg(q.deadSubject(m.Kind))
	letter.Data = m.Body
	letter.Header.Set(reasonHeader, strings.ReplaceAll(why.Error(), "\n", " "))
	letter.Header.Set(idHeader, m.ID)
	ctx, cancel := context.WithTimeout(q.ctx, callTimeout)
	defer cancel()
	if _, err := q.js.PublishMsg(ctx, letter, jetstream.WithMsgID("dead-"+m.ID)); err != nil {
		return errors.Join(err, msg.NakWithDelay(queue.Pauses[0]))
	}
	return msg.Ack()
}
