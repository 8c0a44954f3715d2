package servers

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nearside-go/nearside/examples/concert/system/balancer/haproxy"
	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/database/postgres"
	"github.com/nearside-go/nearside/examples/concert/system/edge"
	"github.com/nearside-go/nearside/examples/concert/system/edge/varnish"
	"github.com/nearside-go/nearside/examples/concert/system/queue/rabbitmq"
	"github.com/nearside-go/nearside/examples/concert/system/servers/sentinel"
	"github.com/nearside-go/nearside/examples/concert/system/service"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// Debian starts the servers of Debian's packages, which have to be installed.
func Debian(ctx context.Context) (*Set, error) {
	s := &Set{
		Heading: "Redis: a primary, a replica and three Sentinels. Database: PostgreSQL. Queue: RabbitMQ. Edge: Varnish. Load balancer: HAProxy",
		Purgers: [2]string{service.PurgeKeys, service.PurgeBans},
		Edge:    func(ctx context.Context, origin, _ string) (edge.Server, error) { return varnish.Start(ctx, origin) },
	}
	if err := missing(); err != nil {
		return nil, err
	}
	if err := s.debian(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// missing is nil if all servers are installed.
func missing() error {
	_, redis := sentinel.Program()
	_, postgresql := postgres.Program()
	_, haproxyErr := haproxy.Program()
	_, _, rabbit := rabbitmq.Programs()
	_, _, varnishErr := varnish.Programs()
	if err := errors.Join(redis, postgresql, haproxyErr, rabbit, varnishErr); err != nil {
		return fmt.Errorf("-servers debian needs servers that scripts/concert-servers installs:\n%w", err)
	}
	return nil
}

// debian starts the servers side by side, because most of them need some seconds.
func (s *Set) debian(ctx context.Context) (err error) {
	if s.Balancer, err = haproxy.New(); err != nil {
		return err
	}
	s.onClose(s.Balancer.Close)
	var redis *sentinel.Group
	var broker *rabbitmq.Server
	var source *postgres.Server
	var errs [3]error
	var starts sync.WaitGroup
	starts.Go(func() { redis, errs[0] = sentinel.Start(ctx) })
	starts.Go(func() { broker, errs[1] = rabbitmq.Start(ctx) })
	starts.Go(func() { source, errs[2] = postgres.Start(ctx) })
	starts.Wait()
	if errs[0] == nil {
		s.onClose(redis.Close)
		s.Redis = redis
	}
	if errs[1] == nil {
		s.onClose(broker.Close)
		s.Queue = broker.URL()
	}
	if errs[2] == nil {
		s.onClose(source.Close)
		s.Database = func(ctx context.Context, name string) (*Database, error) { return createPostgres(ctx, source, name) }
	}
	return errors.Join(errs[:]...)
}

func createPostgres(ctx context.Context, server *postgres.Server, name string) (*Database, error) {
	if err := server.Create(ctx, name, store.Schema(store.SerialPostgres)); err != nil {
		return nil, err
	}
	pool, err := postgres.Open(server.URL(name))
	if err != nil {
		return nil, err
	}
	return &Database{
		URL: server.URL(name), Pool: pool, Close: pool.Close,
		Count: func(ctx context.Context) (database.Counts, error) { return server.Count(ctx, pool, name) },
	}, nil
}
