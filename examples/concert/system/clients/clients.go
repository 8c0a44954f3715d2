// Package clients opens the clients of the servers that URLs name. So the service is the same
// whichever servers it runs on.
package clients

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/redis"

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

// Redis returns a Store on the Redis at a URL, which need not be up, and a function that closes
// it. At a URL of the form redis+sentinel://ADDRESS,ADDRESS/NAME it is the primary that the
// Sentinels at the addresses call by a name.
func Redis(url string, o redis.Options) (*redis.Store, func() error, error) {
	if rest, ok := strings.CutPrefix(url, "redis+sentinel://"); ok {
		addrs, name, _ := strings.Cut(rest, "/")
		return failover(strings.Split(addrs, ","), name, o)
	}
	s, err := redis.Open(url, o)
	if err != nil {
		return nil, nil, err
	}
	return s, s.Close, nil
}

// failover returns a Store whose client asks Sentinels for the primary.
func failover(sentinels []string, name string, o redis.Options) (*redis.Store, func() error, error) {
	client := goredis.NewFailoverClient(&goredis.FailoverOptions{
		MasterName: name, SentinelAddrs: sentinels,
		ContextTimeoutEnabled: true, MaxRetries: -1, // the Store has budgets of its own
	})
	s, err := redis.New(client, o)
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return s, func() error { return errors.Join(s.Close(), client.Close()) }, nil
}
