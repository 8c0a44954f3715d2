package rabbitmq

import (
	"context"
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
)

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

var errClosed = errors.New("the channel was closed")

// consume handles messages until Stop, or until the connection breaks. With the channel's end
// RabbitMQ has a message back that was not settled.
func (h handling) consume() error {
	if _, err := h.publishing(h.kind); err != nil { // for the queue
		return err
	}
	ch, err := h.channel()
	if err != nil {
		return err
	}
	defer ch.Close()
	if err := ch.Qos(1, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.Consume(h.live(h.kind), "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for {
		select {
		case <-h.ctx.Done():
			return nil
		case d, ok := <-deliveries:
			if !ok {
				return errClosed
			}
			if err := h.deliver(d); err != nil {
				return err
			}
		}
	}
}

// deliver hands a message to the handler, and settles it. A handler that takes too long fails,
// and is waited for.
func (h handling) deliver(d amqp.Delivery) error {
	m := queue.Message{ID: d.MessageId, Kind: h.kind, Body: d.Body, Attempt: 1 + number(d, failedHeader) + number(d, returnedHeader)}
	if h.attempts > 0 && m.Attempt > h.attempts {
		return h.bury(d, queue.ErrDied)
	}
	ctx, cancel := context.WithTimeout(h.ctx, queue.AckWithin)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.handler(ctx, m) }()
	select {
	case failure := <-done:
		return h.settle(d, m, failure)
	case <-ctx.Done():
		err := h.settle(d, m, ctx.Err())
		<-done
		return err
	}
}

const (
	// failedHeader counts the attempts that have failed.
	failedHeader = "concert-failed"

	// returnedHeader counts how often the message came back since it was published. A quorum
	// queue has it.
	returnedHeader = "x-delivery-count"
)

func number(d amqp.Delivery, header string) int {
	n, _ := d.Headers[header].(int64) // 0 without the header
	return int(n)
}

func (h handling) settle(d amqp.Delivery, m queue.Message, failure error) error {
	switch {
	case failure == nil:
		return d.Ack(false)
	case h.ctx.Err() != nil:
		return d.Nack(false, true) // this instance ends: another one has its turn at once
	case errors.Is(failure, queue.ErrHopeless), h.attempts > 0 && m.Attempt >= h.attempts:
		return h.bury(d, failure)
	}
	return h.move(d, h.paused(queue.PauseAfter(m.Attempt)), amqp.Table{failedHeader: int64(m.Attempt)})
}

// move publishes a message to an exchange, and acknowledges it where it was. If the process
// dies in between, the message is in both places.
func (h handling) move(d amqp.Delivery, exchange string, headers amqp.Table) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	err := h.publish(ctx, exchange, h.kind, amqp.Publishing{MessageId: d.MessageId, Body: d.Body, Headers: headers})
	if err != nil {
		return errors.Join(err, d.Nack(false, true))
	}
	return d.Ack(false)
}
