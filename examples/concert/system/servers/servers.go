// Package servers starts the servers that the system needs. There are two sets of them:
// Embedded needs nothing but this program, and Debian has the servers that people run.
package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/balancer"
	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/edge"
)

// startWithin is how long a server may take until it is ready, on a busy machine.
const startWithin = 30 * time.Second

// Set is a set of servers.
type Set struct {
	Heading  string // names the servers
	Redis    Redis
	Balancer balancer.Balancer
	Queue    string // its URL

	// Database starts or creates a database with the tables of the store.
	Database func(ctx context.Context, name string) (*Database, error)

	// Edge starts a cache in front of an origin, for one of the Purgers.
	Edge func(ctx context.Context, origin, purger string) (edge.Server, error)

	// Purgers are how the edges of the side with nearside and of the other side are purged.
	Purgers [2]string

	closing []func() error // last come, first served
}

// Redis is a Redis that can be killed, hung and started again. Its methods are for one
// goroutine.
type Redis interface {
	// URL returns the address for redis.Open.
	URL() string

	// Kill kills the server with SIGKILL: connections are refused.
	Kill() error

	// Start starts the server that was killed, with nothing in it. The wait for the server ends
	// with the context of the Set.
	Start() error

	// Hang stops the server with SIGSTOP: connections are accepted, and nothing is answered.
	Hang() error

	// Resume ends a Hang.
	Resume() error
}

// Replicated is a Redis whose replica takes over when the primary is killed. Start starts the old
// primary as the replica of the new one.
type Replicated interface {
	Redis

	// AwaitPromotion returns when the replica has become the primary, or with an error when the
	// context of the Set ends.
	AwaitPromotion() error
}

// Database is a database.
type Database struct {
	URL   string // for clients.Database
	Pool  *sql.DB
	Count func(context.Context) (database.Counts, error)
	Close func() error
}

// Kinds are the functions that start a Set, by name.
var Kinds = map[string]func(context.Context) (*Set, error){"embedded": Embedded, "debian": Debian}

// Start starts a Set. After an error nothing is left running. When ctx ends, so does Start, and
// later each wait of the Set's Redis; the servers run on until Close.
func Start(ctx context.Context, kind string) (*Set, error) {
	start, ok := Kinds[kind]
	if !ok {
		return nil, fmt.Errorf("there are no servers %q: they are embedded or debian", kind)
	}
	return start(ctx)
}

// Close ends all servers, the last started first.
func (s *Set) Close() error {
	var errs []error
	for k := len(s.closing) - 1; k >= 0; k-- {
		errs = append(errs, s.closing[k]())
	}
	s.closing = nil
	return errors.Join(errs...)
}

func (s *Set) onClose(f func() error) { s.closing = append(s.closing, f) }
