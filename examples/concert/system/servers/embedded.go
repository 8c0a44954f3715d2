package servers

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nearside-go/nearside/examples/concert/system/balancer/caddy"
	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/database/sqlite"
	"github.com/nearside-go/nearside/examples/concert/system/edge"
	caddyedge "github.com/nearside-go/nearside/examples/concert/system/edge/caddy"
	"github.com/nearside-go/nearside/examples/concert/system/queue/jetstream"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

// Embedded starts servers that are libraries, within this process and in roles of it. Redis is
// the redis-server that is on the PATH, if there is one.
func Embedded(ctx context.Context) (*Set, error) {
	s := &Set{Purgers: [2]string{service.PurgeKeys, service.PurgeCloudFront}}
	if err := s.embedded(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Set) embedded(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "nearside-concert-")
	if err != nil {
		return err
	}
	s.onClose(func() error { return os.RemoveAll(dir) })
	redis, err := startRedis(ctx)
	if err != nil {
		return err
	}
	s.Redis = redis
	s.onClose(redis.Kill)
	broker, err := jetstream.Serve(dir)
	if err != nil {
		return err
	}
	s.Queue = broker.URL()
	s.onClose(func() error { broker.Close(); return nil })
	s.Balancer = caddy.New()
	s.onClose(s.Balancer.Close)
	s.Database = func(ctx context.Context, name string) (*Database, error) { return startSQLite(ctx, name, dir) }
	s.Edge = func(ctx context.Context, origin, purger string) (edge.Server, error) {
		if purger == service.PurgeKeys {
			return caddyedge.Start(ctx, origin)
		}
		return edge.Serve(origin)
	}
	s.Heading = fmt.Sprintf("Redis: %s. Database: SQLite. Queue: NATS JetStream. Edge: Caddy's cache-handler, and a stand-in for CloudFront. Load balancer: Caddy", redis.kind)
	return nil
}

func startSQLite(ctx context.Context, name, dir string) (*Database, error) {
	proc, err := StartDatabase(ctx, name, dir, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	pool := sqlite.Open(proc.Addr)
	return &Database{
		URL: proc.Addr, Pool: pool,
		Count: func(ctx context.Context) (database.Counts, error) { return sqlite.Count(ctx, pool) },
		Close: func() error {
			err := pool.Close()
			proc.Kill()
			return err
		},
	}, nil
}
