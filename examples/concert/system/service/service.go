package service

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/redis"

	"github.com/nearside-go/nearside/examples/concert/system/clients"
	"github.com/nearside-go/nearside/examples/concert/system/edge"
	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// state is the state of an instance, as /readyz reports it.
type state int32

const (
	starting state = iota
	ready
	draining
)

func (s state) String() string { return [...]string{"starting", "ready", "draining"}[s] }

// Service is an instance.
type Service struct {
	config   Config
	state    atomic.Int32
	inFlight atomic.Int64
	why      atomic.Pointer[string] // why it is still starting

	db    *sql.DB
	store *store.Store
	redis *redis.Store // nil without a cache
	read  *repositories
	queue queue.Queue
	log   *slog.Logger
	crash crash

	purger  edge.Purger // nil without an edge
	purging sync.WaitGroup

	working sync.WaitGroup  // start, and then relay
	ending  context.Context // ends when Close begins
	end     context.CancelFunc
}

// Run is Serve as the role of an instance. config is a Config in JSON.
func Run(ctx context.Context, config []byte, report func(addr string)) error {
	var c Config
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	return Serve(ctx, c, report)
}

// Serve runs an instance until ctx ends, and lets it drain then. It reports its address as soon
// as it listens. It is ready once /readyz answers with 200.
func Serve(ctx context.Context, c Config, report func(addr string)) error {
	listener, err := net.Listen("tcp", cmp.Or(c.Listen, "127.0.0.1:0"))
	if err != nil {
		return fmt.Errorf("%s cannot listen: %w", c.Name, err)
	}
	s, err := New(c)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", c.Name, err), listener.Close())
	}
	web := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	report(listener.Addr().String())
	s.work()

	select {
	case err := <-served:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	s.drain(c.Drain)
	ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = web.Shutdown(ending)
	return errors.Join(err, s.Close())
}

// New returns an instance that is starting. It connects to nothing that has to be up.
func New(c Config) (*Service, error) {
	s := &Service{config: c, crash: crash{place: c.Crash}, log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	s.ending, s.end = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open makes the clients of the servers, and the caches. After an error Close closes the clients
// that were made by then.
func (s *Service) open() error {
	var remote cache.Remote
	var err error
	if s.purger, err = newPurger(s.config); err != nil {
		return err
	}
	if s.config.Redis != "" {
		if s.redis, err = redis.Open(s.config.Redis, redis.Options{Prefix: s.config.Prefix, Timeout: s.config.RedisTimeout, Logger: s.log}); err != nil {
			return err
		}
		remote = s.redis
	}
	if s.db, err = clients.Database(s.config.Database); err != nil {
		return err
	}
	s.store = store.New(s.db)
	q, err := clients.Queue(s.config.Queue, s.config.Prefix)
	if err != nil {
		return err
	}
	s.queue = q
	s.read, err = newRepositories(s.store, s.config.Version, tier{remote, s.bury, s.purgeLate})
	return err
}

// work starts the instance's own work, which Close ends.
func (s *Service) work() { s.working.Go(func() { s.start(s.ending) }) }

// start makes the instance ready once the database answers. Later it stays ready without the
// database: if all instances gave up with the database, cached values could not be served either.
// Redis is not asked at all, because without Redis an instance serves from the database.
func (s *Service) start(ctx context.Context) {
	for {
		ping, cancel := context.WithTimeout(ctx, time.Second)
		err := s.store.Ping(ping)
		cancel()
		if err == nil {
			break
		}
		why := err.Error()
		s.why.Store(&why)
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.consume()
	s.working.Go(func() { s.relay(ctx) })
	s.state.CompareAndSwap(int32(starting), int32(ready))
}

// drain makes the instance unready, and gives the load balancer the time to notice.
func (s *Service) drain(d time.Duration) {
	s.state.Store(int32(draining))
	time.Sleep(d)
}

// Close ends the instance: first its work, then the caches, then their connections.
func (s *Service) Close() error {
	s.end()
	s.working.Wait()
	var errs []error
	if s.queue != nil {
		s.queue.Stop()
	}
	if s.read != nil {
		errs = append(errs, s.read.close())
	}
	s.purging.Wait()
	if s.queue != nil {
		s.queue.Close()
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}
