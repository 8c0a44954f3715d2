package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/nearside-go/nearside/cache"
)

// Store is the remote tier of any number of caches, on one Redis server,
// failover pair or Cluster. It implements [cache.Remote]. All its methods are
// safe for concurrent use.
//
// The server has to have, and its user has to be allowed, GET, SET, PTTL, PEXPIRE, UNLINK,
// TIME, EVAL, EVALSHA, XADD, XREAD, XRANGE, XREVRANGE and XLEN, in scripts GET, GETRANGE, STRLEN,
// SET, DEL, UNLINK, PTTL, PEXPIRE and TIME, and in a Cluster CLUSTER SLOTS. When one of them
// is refused, Options.Logger is told once.
//
// A name is used by one cache of a Store at a time, whatever the Schema: cache.New returns
// cache.ErrFollowed for a second one, until the first is closed. Two at a time need a Store
// each, because a Store tells its caches of other Stores' invalidations.
type Store struct {
	client  goredis.UniversalClient
	owned   bool // the client is closed with the Store, and heeds contexts
	single  bool // one server holds every key
	origin  origin
	scripts scripts
	logs    []*partition
	opts    Options
	joined  joined
	reads   *breaker
	writes  *breaker
	outage  *outage
	nodes   nodes
	refusal sync.Once     // tells of a command that the server refuses
	renewed atomic.Uint64 // leases

	clearing atomic.Int32 // leases that are being given up
	late     lateBans

	background context.Context // of renewals and probes; ends with Close
	stop       context.CancelFunc
	running    sync.WaitGroup
	closing    sync.Once
	closeErr   error // written in closing

	mu     sync.Mutex // guards closed, and that nothing runs anew once it is set
	closed bool
}

var _ cache.Remote = (*Store)(nil)

// Open returns a Store with a client of its own, which Close closes, for the
// server that rawURL names: redis://user:password@host:port/db, rediss:// for TLS,
// or unix:///path. The query parameters of goredis.ParseURL apply. It does not
// need Redis to be up. Its errors are those of the options, and one that says which part
// of the URL is wrong, without quoting it.
//
// The client heeds the deadlines of contexts, makes a single attempt at a
// connection for each command, and does not retry, unless the URL asks for that. A dial
// ends after LogTimeout, unless the URL has a dial_timeout, and with the Store. A dial
// that fails is not written to standard error.
func Open(rawURL string, o Options) (*Store, error) {
	client, err := parseURL(rawURL)
	o, optionsErr := o.complete()
	if err := errors.Join(err, optionsErr); err != nil {
		return nil, err
	}
	client.ContextTimeoutEnabled = true
	if client.MaxRetries == 0 {
		client.MaxRetries = -1
	}
	client.DialerRetries = 1
	if client.DialTimeout == 0 {
		client.DialTimeout = o.LogTimeout
	}
	client.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	s := newStore(o)
	client.Dialer = s.quiet(netDialer(client.TLSConfig))
	s.client, s.single, s.owned = goredis.NewClient(client), true, true
	return s, nil
}

// New returns a Store that uses client: a Client, a failover client or a
// ClusterClient, with whatever timeouts. Close leaves it open; close it after the
// Store. Its errors are those of the options, that of a nil client, and that of one
// with which no invalidation could be relied on: a Ring, which moves keys to other shards while
// one is away, and gives them back what it had, a ClusterClient that reads
// from replicas, which lag, and one of another type.
//
// The budget holds although such a client may ignore its context: a command that
// is overdue is abandoned, and ends in the background at the client's own time.
//
// New adds a hook to client, by which a dial that fails is an error of the command that
// needed the connection, and no more: go-redis writes a line to standard error for each,
// and makes no more attempts for a second after some of them. The nodes that a
// ClusterClient has used before have no such hook, and of a failover client the connections
// to the Sentinels have none: while no Sentinel answers, go-redis goes on writing lines.
// After Close the hook does nothing.
func New(client goredis.UniversalClient, o Options) (*Store, error) {
	o, err := o.complete()
	if err := errors.Join(unreliable(client), err); err != nil {
		return nil, err
	}
	s := newStore(o)
	s.client = client
	switch c := client.(type) {
	case *goredis.Client:
		s.single = true
		c.AddHook(quietDials{s.background})
	case *goredis.ClusterClient:
		c.OnNewNode(func(node *goredis.Client) { node.AddHook(quietDials{s.background}) })
	}
	return s, nil
}

var errNoClient = errors.New("redis: there is no client")

func unreliable(client goredis.UniversalClient) error {
	switch c := client.(type) {
	case nil:
		return errNoClient
	case *goredis.Client:
		if c == nil {
			return errNoClient
		}
	case *goredis.Ring:
		return errors.New("redis: a Ring may bring back what was invalidated while a shard was away")
	case *goredis.ClusterClient:
		if c == nil {
			return errNoClient
		}
		if o := c.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return errors.New("redis: a client that reads from replicas may read what was invalidated")
		}
	default:
		return fmt.Errorf("redis: the log cannot be read with a %T", client)
	}
	return nil
}

// newStore returns a Store that has no client yet.
func newStore(o Options) *Store {
	s := &Store{opts: o, origin: newOrigin()}
	s.background, s.stop = context.WithCancel(context.Background())
	s.logs = newPartitions(s)
	s.reads, s.writes = newBreakers(s)
	s.outage = newOutage(s)
	return s
}

// Close ends the background work, and closes the client if the Store opened it;
// the error is the client's. Calls that come later return cache.ErrUnavailable.
// Close the caches of the Store first. Calling it again does the same.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.stop()
		s.reads.shut()
		s.writes.shut()
		s.running.Wait()
		s.outage.shut()
		if s.owned {
			s.closeErr = s.client.Close()
		}
	})
	return s.closeErr
}

// inBackground runs work on a goroutine that Close waits for, with a context
// that Close ends. After Close it runs nothing, and reports false.
func (s *Store) inBackground(work func(context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Go(func() { work(s.background) })
	return true
}

// Budget is Options.Timeout.
func (s *Store) Budget() time.Duration { return s.opts.Timeout }

// Stats are a Store's counts since it was made, but for the states and sizes, which
// are of the moment. With several partitions of the log they are those of all, and
// the longest lag.
type Stats struct {
	BreakerOpen      bool   // Redis is left alone
	WriteBreakerOpen bool   // it is sent no command that writes
	BreakerOpened    uint64 // how often either of that began
	BreakerRefused   uint64 // commands that were not sent because of it
	LeasesRenewed    uint64 // renewals of leases whose loads take long

	LogFollowing bool          // the log is being read, for every cache
	LogEntries   uint64        // entries that were read, own ones included
	LogMalformed uint64        // of these, entries that could not be understood
	LogSessions  uint64        // connections that the log was read on
	LogGaps      uint64        // times that entries may have been missed
	LogDepth     int64         // entries in the log, when that was last read
	LogLag       time.Duration // from an entry that this Store appended to its coming back, of late
}

// Stats returns the Store's counts.
func (s *Store) Stats() Stats {
	stats := Stats{
		BreakerOpen:      s.reads.open.Load(),
		WriteBreakerOpen: s.writes.open.Load(),
		BreakerOpened:    s.reads.timesOpened() + s.writes.timesOpened(),
		BreakerRefused:   s.reads.refused.Load() + s.writes.refused.Load(),
		LeasesRenewed:    s.renewed.Load(),
	}
	started, following := 0, 0
	for _, p := range s.logs {
		is, does := p.addTo(&stats)
		started += is
		following += does
	}
	stats.LogFollowing = started > 0 && started == following
	return stats
}

func (s *Store) redisKey(key string) string { return s.opts.Prefix + ":" + key }
