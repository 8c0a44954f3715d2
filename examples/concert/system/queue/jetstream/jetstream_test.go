package jetstream_test

import (
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/queue/jetstream"
	"github.com/nearside-go/nearside/examples/concert/system/queue/queuetest"
)

// serve returns a function that returns Queues of one name on a server of their own.
func serve(t *testing.T) func() queue.Queue {
	t.Helper()
	server, err := jetstream.Serve(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return func() queue.Queue { return connect(t, server.URL()) }
}

func connect(t *testing.T, url string) queue.Queue {
	t.Helper()
	q, err := jetstream.Connect(url, "test")
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestJetStream(t *testing.T) {
	queuetest.Run(t, queuetest.Servers{
		Connect: serve,
		Away:    func(t *testing.T) queue.Queue { return connect(t, "nats://127.0.0.1:1") },
		Hung:    queue.ErrDied, // JetStream cannot tell a handler that hangs from a process that died
	})
}

func TestAnIDThatWasPublishedBeforeIsDropped(t *testing.T) {
	q := serve(t)()
	defer q.Close()
	if err := q.Create(t.Context(), "work"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "a", "b"} {
		if err := q.Publish(t.Context(), "work", id, nil); err != nil {
			t.Fatal(err)
		}
	}
	if depth, err := q.Depth(t.Context()); err != nil || depth.Live != 2 {
		t.Errorf("the depth is %+v, error %v, want 2 messages", depth, err)
	}
}
