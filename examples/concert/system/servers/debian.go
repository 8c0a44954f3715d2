package servers

import (
	"context"
	"errors"
	"os"

	"github.com/nearside-go/nearside/examples/concert/system/balancer/haproxy"
	"github.com/nearside-go/nearside/examples/concert/system/clients"
	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/database/postgres"
	"github.com/nearside-go/nearside/examples/concert/system/edge"
	"github.com/nearside-go/nearside/examples/concert/system/queue/jetstream"
	"github.com/nearside-go/nearside/examples/concert/system/service"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// Debian starts the servers of Debian's packages.
func Debian() (*Set, error) {
	s := &Set{
		Heading: "Redis: redis-server. Database: PostgreSQL. Queue: NATS JetStream. Edge: a stand-in. Load balancer: HAProxy",
		Purgers: [2]string{service.PurgeKeys, service.PurgeCloudFront},
	}
	if err := s.debian(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Set) debian() error {
	dir, err := os.MkdirTemp("", "nearside-concert-")
	if err != nil {
		return err
	}
	s.onClose(func() error { return os.RemoveAll(dir) })
	redis, err := startRedis()
	if err != nil {
		return err
	}
	s.Redis = redis
	s.onClose(func() error { redis.Kill(); return nil })
	broker, err := jetstream.Serve(dir)
	if err != nil {
		return err
	}
	s.Queue = broker.URL()
	s.onClose(func() error { broker.Close(); return nil })
	if s.Balancer, err = haproxy.New(); err != nil {
		return err
	}
	s.onClose(s.Balancer.Close)
	server, err := postgres.Start()
	if err != nil {
		return err
	}
	s.onClose(server.Close)
	s.Database = func(ctx context.Context, name string) (*Database, error) { return createPostgres(ctx, server, name) }
	s.Edge = func(origin string) (edge.Server, error) { return edge.Serve(origin) }
	return nil
}

func createPostgres(ctx context.Context, server *postgres.Server, name string) (*Database, error) {
	if err := server.Create(ctx, name, store.Schema(store.SerialPostgres)); err != nil {
		return nil, err
	}
	pool, err := clients.Database(server.URL(name))
	if err != nil {
		return nil, err
	}
	return &Database{
		URL: server.URL(name), Pool: pool, Close: pool.Close,
		Count: func(ctx context.Context) (database.Counts, error) { return server.Count(ctx, pool, name) },
	}, nil
}
