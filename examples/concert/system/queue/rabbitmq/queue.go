// Package rabbitmq runs a RabbitMQ server, and is a message queue on it.
//
// The messages of a kind are in a quorum queue, which counts how often a message was returned
// because its consumer died. After a failure the consumer itself publishes the message to a
// queue in which the message waits. When that time is over, RabbitMQ sends the message back:
// RabbitMQ's own word for this is dead-lettering. The dead letters of package queue are in a
// queue without consumers.
package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
)

const (
	// callTimeout bounds the calls to the server that have no context of their own.
	callTimeout = 2 * time.Second

	// heartbeat is how often the connection is used at least. RabbitMQ takes a consumer for
	// dead after two of them without a word, and delivers its messages again.
	heartbeat = time.Second
)

// Queue is a queue.Queue. It does not drop messages with an id that was published before.
type Queue struct {
	url, name string
	work      sync.WaitGroup
	stopped   context.CancelFunc
	ctx       context.Context

	mu        sync.Mutex // guards all below
	conn      *amqp.Connection
	publisher *amqp.Channel
	kinds     []string // those that were declared
	closed    bool     // Close was called
}

var _ queue.Queue = (*Queue)(nil)

// Connect returns a Queue on the server at url, which need not be up.
func Connect(url, name string) (*Queue, error) {
	if _, err := amqp.ParseURI(url); err != nil {
		return nil, fmt.Errorf("read the URL of the message queue: %w", err)
	}
	q := &Queue{url: url, name: name}
	q.ctx, q.stopped = context.WithCancel(context.Background())
	return q, nil
}

func dial(url string) (*amqp.Connection, error) {
	conn, err := amqp.DialConfig(url, amqp.Config{Heartbeat: heartbeat, Dial: amqp.DefaultDial(callTimeout)})
	if err != nil {
		return nil, fmt.Errorf("connect to the message queue: %w", err)
	}
	return conn, nil
}

// Stop ends the handling of messages, and waits for the handlers that run.
func (q *Queue) Stop() {
	q.stopped()
	q.work.Wait()
}

// Close stops, and ends the connection.
func (q *Queue) Close() {
	q.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.conn != nil {
		_ = q.conn.Close() // it may have ended before
	}
}

// channel returns a new channel. The caller closes it.
func (q *Queue) channel() (*amqp.Channel, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.channelLocked()
}

var errQueueClosed = errors.New("the message queue was closed by this process")

func (q *Queue) channelLocked() (*amqp.Channel, error) {
	if q.closed {
		return nil, errQueueClosed
	}
	if q.conn == nil || q.conn.IsClosed() {
		var err error
		if q.conn, err = dial(q.url); err != nil {
			return nil, err
		}
	}
	return q.conn.Channel()
}

// publishing returns the channel on which all messages are published, and the kind's queue is
// there.
func (q *Queue) publishing(kind string) (*amqp.Channel, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.publisher == nil || q.publisher.IsClosed() {
		var err error
		if q.publisher, err = q.channelLocked(); err != nil {
			return nil, err
		}
		if err := q.publisher.Confirm(false); err != nil {
			return nil, err
		}
	}
	return q.publisher, q.declareLocked(q.publisher, kind)
}

// Publish appends a message, and returns when it is on disk.
func (q *Queue) Publish(ctx context.Context, kind, id string, body []byte) error {
	return q.publish(ctx, q.exchange(), kind, amqp.Publishing{MessageId: id, Body: body})
}

func (q *Queue) publish(ctx context.Context, exchange, kind string, m amqp.Publishing) error {
	ch, err := q.publishing(kind)
	if err != nil {
		return err
	}
	m.DeliveryMode = amqp.Persistent
	confirmation, err := ch.PublishWithDeferredConfirmWithContext(ctx, exchange, kind, false, false, m)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	confirmed, err := confirmation.WaitContext(ctx)
	if err == nil && !confirmed {
		err = errors.New("the server has not taken the message")
	}
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// Depth returns how many messages wait, of the kinds that this Queue knows.
func (q *Queue) Depth(context.Context) (queue.Depth, error) {
	ch, err := q.channel()
	if err != nil {
		return queue.Depth{}, err
	}
	defer ch.Close()
	q.mu.Lock()
	kinds := slices.Clone(q.kinds)
	q.mu.Unlock()
	var waiting []string
	for _, kind := range kinds {
		waiting = append(waiting, q.live(kind))
	}
	for _, p := range queue.Pauses {
		waiting = append(waiting, q.paused(p))
	}
	var depth queue.Depth
	for _, name := range waiting {
		n, err := count(ch, name)
		if err != nil {
			return queue.Depth{}, err
		}
		depth.Live += n
	}
	depth.Dead, err = count(ch, q.dead())
	return depth, err
}

func count(ch *amqp.Channel, name string) (uint64, error) {
	state, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
	if err != nil {
		return 0, fmt.Errorf("find the queue %s: %w", name, err)
	}
	return uint64(state.Messages), nil
}
