package rabbitmq

import (
	"context"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
)

// The names of the exchanges and queues on the server. The exchange routes a message to the queue of its kind.
// The other exchanges have one queue each: those in which a message waits for as long as a
// pause, and that of the dead letters.

func (q *Queue) exchange() string              { return q.name }
func (q *Queue) live(kind string) string       { return q.name + ".live." + kind }
func (q *Queue) paused(p time.Duration) string { return q.name + ".paused." + p.String() }
func (q *Queue) dead() string                  { return q.name + ".dead" }

// Create declares the exchanges and queues for messages of kinds.
func (q *Queue) Create(_ context.Context, kinds ...string) error {
	ch, err := q.channel()
	if err != nil {
		return err
	}
	defer ch.Close()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, kind := range kinds {
		if err := q.declareLocked(ch, kind); err != nil {
			return err
		}
	}
	return nil
}

// declareLocked declares the exchanges and queues for messages of a kind, once.
func (q *Queue) declareLocked(ch *amqp.Channel, kind string) error {
	if slices.Contains(q.kinds, kind) {
		return nil
	}
	d := declaration{ch: ch}
	d.exchange(q.exchange(), amqp.ExchangeDirect)
	d.queue(q.live(kind), q.exchange(), kind, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum})
	for _, p := range queue.Pauses {
		d.exchange(q.paused(p), amqp.ExchangeFanout)
		d.queue(q.paused(p), q.paused(p), "", amqp.Table{
			amqp.QueueMessageTTLArg:  p.Milliseconds(),
			"x-dead-letter-exchange": q.exchange(), // with the kind as it was published
		})
	}
	d.exchange(q.dead(), amqp.ExchangeFanout)
	d.queue(q.dead(), q.dead(), "", nil)
	if d.err != nil {
		return fmt.Errorf("declare the queue of %s: %w", kind, d.err)
	}
	q.kinds = append(q.kinds, kind)
	return nil
}

// declaration declares one thing after the other until one fails.
type declaration struct {
	ch  *amqp.Channel
	err error
}

func (d *declaration) exchange(name, kind string) {
	if d.err == nil {
		d.err = d.ch.ExchangeDeclare(name, kind, true, false, false, false, nil)
	}
}

// queue declares a durable queue, and binds it to an exchange.
func (d *declaration) queue(name, exchange, key string, args amqp.Table) {
	if d.err == nil {
		_, d.err = d.ch.QueueDeclare(name, true, false, false, false, args)
	}
	if d.err == nil {
		d.err = d.ch.QueueBind(name, key, exchange, false, nil)
	}
}
