package rabbitmq

import (
	"context"
	"fmt"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
)

const (
	kindHeader   = "concert-kind"
	reasonHeader = "concert-reason"
)

// bury moves a message to the dead letters.
func (h handling) bury(d amqp.Delivery, why error) error {
	return h.move(d, h.dead(), amqp.Table{kindHeader: h.kind, reasonHeader: strings.ReplaceAll(why.Error(), "\n", " ")})
}

// letter returns the dead letter of a delivery. Its name is its id, so that a message which was
// buried twice is one letter.
func letter(d amqp.Delivery) queue.Letter {
	kind, _ := d.Headers[kindHeader].(string)
	reason, _ := d.Headers[reasonHeader].(string)
	return queue.Letter{Name: d.MessageId, Kind: kind, ID: d.MessageId, Body: string(d.Body), Reason: reason}
}

// visit calls f for each dead letter until it returns false. All letters that f does not
// acknowledge are back in their places after visit.
func (q *Queue) visit(f func(amqp.Delivery) (bool, error)) error {
	ch, err := q.channel()
	if err != nil {
		return err
	}
	defer ch.Close()
	for {
		d, ok, err := ch.Get(q.dead(), false)
		if err != nil {
			return fmt.Errorf("read the dead letters: %w", err)
		}
		if !ok {
			return nil
		}
		if more, err := f(d); err != nil || !more {
			return err
		}
	}
}

// DeadLetters returns the oldest dead letters, up to a limit.
func (q *Queue) DeadLetters(_ context.Context, limit int) ([]queue.Letter, error) {
	var letters []queue.Letter
	err := q.visit(func(d amqp.Delivery) (bool, error) {
		l := letter(d)
		if !slices.ContainsFunc(letters, func(other queue.Letter) bool { return other.Name == l.Name }) {
			letters = append(letters, l)
		}
		return len(letters) < limit, nil
	})
	return letters, err
}

// Replay publishes a dead letter again, and removes it from the dead letters. If the process
// dies in between, the message is in both places.
func (q *Queue) Replay(ctx context.Context, name string) error {
	found := false
	err := q.visit(func(d amqp.Delivery) (bool, error) {
		l := letter(d)
		if l.Name != name {
			return true, nil
		}
		if !found {
			if err := q.Publish(ctx, l.Kind, queue.ReplayID(l), d.Body); err != nil {
				return false, err
			}
			found = true
		}
		return true, d.Ack(false)
	})
	if err == nil && !found {
		err = fmt.Errorf("there is no dead letter %q", name)
	}
	return err
}
