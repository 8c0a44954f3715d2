package rabbitmq_test

import (
	"strings"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/process/processtest"
	"github.com/nearside-go/nearside/examples/concert/system/queue/rabbitmq"
)

// TestAStartThatFailsIsNotTriedAgain: the node does not start, while its epmd lives and holds its
// port.
func TestAStartThatFailsIsNotTriedAgain(t *testing.T) {
	_, epmd, err := rabbitmq.Programs()
	if err != nil {
		t.Fatal(err)
	}
	started := processtest.Watch(t, "epmd", epmd, "")
	t.Setenv("ERL_AFLAGS", "+none") // Erlang has no such flag
	if _, err := rabbitmq.Start(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "RabbitMQ ended before it was ready") {
		t.Errorf("error %v, want that RabbitMQ has ended", err)
	}
	if n := started(); n != 1 {
		t.Errorf("%d times an epmd was started, want once", n)
	}
}
