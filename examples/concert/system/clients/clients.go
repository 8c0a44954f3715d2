// Package clients opens the clients of the servers that URLs name. So the service is the same
// whichever servers it runs on.
package clients

import (
	"database/sql"
	"fmt"
	"strings"

	"github.com/nearside-go/nearside/examples/concert/system/database/postgres"
	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/queue/jetstream"
	"github.com/nearside-go/nearside/examples/concert/system/queue/rabbitmq"
)

// Database returns a pool of connections to a database: PostgreSQL at a URL that begins with
// postgres://, or the server of package sqlite at an address. It need not be up.
func Database(url string) (*sql.DB, error) {
	if strings.HasPrefix(url, "postgres://") {
		return postgres.Open(url)
	}
	return sqlite.Open(url), nil
}

// Queue returns the queue of a name, on NATS at a URL that begins with nats://, or on RabbitMQ at
// one that begins with amqp://. The server need not be up.
func Queue(url, name string) (queue.Queue, error) {
	switch scheme, _, _ := strings.Cut(url, "://"); scheme {
	case "nats":
		return jetstream.Connect(url, name)
	case "amqp":
		return rabbitmq.Connect(url, name)
	default:
		return nil, fmt.Errorf("there is no message queue for a URL that begins with %q", scheme)
	}
}
