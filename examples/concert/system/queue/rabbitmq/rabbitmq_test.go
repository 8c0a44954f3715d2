package rabbitmq_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/nearside-go/nearside/examples/concert/system/process/processtest"
	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/queue/queuetest"
	"github.com/nearside-go/nearside/examples/concert/system/queue/rabbitmq"
)

// server is the server of all tests.
var server *rabbitmq.Server

func TestMain(m *testing.M) { processtest.Main(m, &server, rabbitmq.Start) }

var serial atomic.Int64

func connect(t *testing.T, url, name string) queue.Queue {
	t.Helper()
	q, err := rabbitmq.Connect(url, name)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestRabbitMQ(t *testing.T) {
	queuetest.Run(t, queuetest.Servers{
		Connect: func(t *testing.T) func() queue.Queue {
			name := fmt.Sprintf("test-%d", serial.Add(1))
			return func() queue.Queue { return connect(t, server.URL(), name) }
		},
		Away: func(t *testing.T) queue.Queue { return connect(t, "amqp://127.0.0.1:1/", "test") },
		Hung: context.DeadlineExceeded,
	})
}

// TestAMessageWhoseConsumersDieIsADeadLetter: two consumers take a message, and their connections
// break.
func TestAMessageWhoseConsumersDieIsADeadLetter(t *testing.T) {
	q := connect(t, server.URL(), "dying")
	defer q.Close()
	if err := q.Create(t.Context(), "work"); err != nil {
		t.Fatal(err)
	}
	if err := q.Publish(t.Context(), "work", "a", nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		takeAndDie(t, "dying.live.work")
	}
	q.Handle("work", 2, func(context.Context, queue.Message) error {
		t.Error("the message was handed to a third consumer")
		return nil
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		letters, err := q.DeadLetters(t.Context(), 10)
		if err != nil || time.Now().After(end) {
			t.Fatalf("dead letters %v, error %v, want one", letters, err)
		}
		if len(letters) > 0 {
			if l := letters[0]; l.ID != "a" || l.Reason != queue.ErrDied.Error() {
				t.Errorf("the letter is %+v", l)
			}
			return
		}
	}
}

// takeAndDie takes a message from a queue as soon as there is one, and breaks the connection.
func takeAndDie(t *testing.T, name string) {
	t.Helper()
	conn, err := amqp.Dial(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	deliveries, err := ch.Consume(name, "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-deliveries:
	case <-time.After(30 * time.Second):
		t.Fatal("there is no message")
	}
}
