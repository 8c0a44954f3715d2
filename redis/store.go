package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/nearside-go/nearside/cache/remote"
)

// Store is the remote tier of any number of caches, on one Redis server, one failover pair
// or one Cluster. Store implements [remote.Tier]. All methods are safe for concurrent use.
//
// The server must have the following commands, and the user of the connection must be
// allowed to call them: GET, SET, PTTL, PEXPIRE, UNLINK, TIME, EVAL, EVALSHA, XADD, XREAD,
// XRANGE, XREVRANGE and XLEN; in scripts GET, GETRANGE, SETRANGE, STRLEN, SET, DEL,
// UNLINK, PTTL, PEXPIRE and TIME; in a Cluster CLUSTER SLOTS, COMMAND and ASKING. docs/wire.md has
// the ACL. INFO is of use, and not needed.
//
// Once after Open or New the Store tests in the background whether Redis is as the Store
// needs it. While Redis cannot be reached, the test is tried again, at least every 10 s. Each
// finding is a line of Options.Logger. [Store.Health] returns the findings.
//
// A name has one cache of a Store at a time, whatever the Schema. For a second cache
// cache.New returns cache.ErrFollowed, until the first cache is closed. Two caches of the
// same name at a time need a Store each, because a Store delivers to its caches the
// invalidations of other Stores.
type Store struct {
	client  goredis.UniversalClient
	owned   bool // Open made client, for one server: client heeds contexts
	closes  bool // Open made client: Close closes client
	single  bool // one server holds every key
	origin  origin
	scripts scripts
	logs    []*partition
	opts    Options
	joined  joined
	sizes   sizes
	waits   atomic.Int32 // for leases of others
	outage  *outage
	nodes   nodes

	whole    *circuit // of the client as a whole
	circuits circuits // of the nodes of a Cluster

	opened, refused atomic.Uint64 // by all breakers
	renewed         atomic.Uint64 // renewals of leases

	inspecting  chan struct{} // has an element while Redis is being inspected
	findings    findings
	infoRefused atomic.Bool // the user may not call INFO

	clearing   atomic.Int32 // number of leases that are being released in the background
	lateGuards lateGuards

	background context.Context // the context of background work; Close ends it
	stop       context.CancelFunc
	running    sync.WaitGroup
	closing    sync.Once
	closeErr   error // written once, in closing

	mu     sync.Mutex // guards closed; no goroutine starts once closed is set
	closed bool
}

var _ remote.Tier = (*Store)(nil)

// Open returns a Store with a client of its own for the server at rawURL. Close closes the
// client. rawURL has the form redis://user:password@host:port/db, rediss:// for TLS, or
// unix:///path. The query parameters of goredis.ParseURL apply. Redis need not be up.
//
// With the query parameter master_name, rawURL has the address of a Sentinel, and the Store is
// on the primary that the Sentinels call by that name, with another addr=host:port for each
// further Sentinel: redis://host:26379/db?master_name=name&addr=host2:26379&addr=host3:26379.
// The parameters username and password are for Redis, the user of the URL is for the Sentinels.
// The parameters of goredis.ParseFailoverURL apply. To read from replicas is an error. With
// rediss the name in each certificate is that of its address. As with a failover client passed to
// [New], go-redis writes lines to standard error for failovers, and while no Sentinel answers. If a
// Sentinel accepts connections and does not answer, Close may wait for it, for as long as a dial
// may take.
//
// Open returns an error if options are invalid, or if rawURL is. The error names the part
// of the URL that is wrong, without quoting the URL.
//
// The client heeds the deadlines of contexts. It makes one attempt at a connection for each
// command, and does not retry unless the URL asks for retries. A dial ends after
// LogTimeout, or after the dial_timeout of the URL, and when the Store is closed. A failed
// dial writes nothing to standard error.
func Open(rawURL string, o Options) (*Store, error) {
	if namesSentinels(rawURL) {
		return openFailover(rawURL, o)
	}
	client, err := parseURL(rawURL)
	o, optionsErr := o.complete()
	if err := errors.Join(err, optionsErr); err != nil {
		return nil, err
	}
	client.ContextTimeoutEnabled = true
	client.MaxRetries = cmp.Or(client.MaxRetries, -1)
	client.DialerRetries = 1
	client.DialTimeout = cmp.Or(client.DialTimeout, o.LogTimeout)
	client.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	s := newStore(o)
	client.Dialer = s.quiet(netDialer(client.TLSConfig))
	s.owned, s.closes = true, true
	s.use(goredis.NewClient(client))
	s.inBackground(s.selfTest)
	return s, nil
}

// New returns a Store that uses client: a Client, a failover client or a ClusterClient,
// with any timeouts. Close leaves client open; the caller closes client after the Store.
//
// New returns an error if options are invalid, if client is nil, or if invalidations are
// not reliable with client:
//
//   - A Ring moves keys to other shards while a shard is away. When the shard returns, the
//     Ring reads the values that the shard had before.
//   - A ClusterClient that reads from replicas reads old values, because replicas lag.
//   - A client of another type is not supported.
//
// The budget also holds for a client that ignores its context. The Store abandons an
// overdue command, and the command ends in the background, at the client's own time.
//
// New adds a hook to client. With the hook, a failed dial is no more than an error of the
// command that needed the connection. Without the hook, go-redis writes a line to standard
// error for each failed dial, and after some failed dials makes no attempt for a second.
// Two kinds of connections have no hook: the connections to nodes that a ClusterClient has
// used before, and the connections of a failover client to its Sentinels. While no Sentinel
// answers, go-redis goes on writing lines. It also writes a line for each failover and for each
// Sentinel that it finds. goredis.SetLogger takes all of them elsewhere. After Close the hook does nothing.
func New(client goredis.UniversalClient, o Options) (*Store, error) {
	s, err := newBorrowing(client, o)
	if err == nil {
		s.inBackground(s.selfTest)
	}
	return s, err
}

// newBorrowing returns a Store that uses client.
func newBorrowing(client goredis.UniversalClient, o Options) (*Store, error) {
	o, err := o.complete()
	if err := errors.Join(unreliable(client), err); err != nil {
		return nil, err
	}
	s := newStore(o)
	s.borrow(client)
	return s, nil
}

// borrow makes s use a client that may ignore contexts, and dial by itself.
func (s *Store) borrow(client goredis.UniversalClient) {
	s.use(client)
	switch c := client.(type) {
	case *goredis.Client:
		c.AddHook(quietDials{s.background, weak.Make(s)})
	case *goredis.ClusterClient:
		c.OnNewNode(func(node *goredis.Client) { node.AddHook(quietDials{store: s.background}) })
	}
}

var errNoClient = errors.New("redis: there is no client")

// unreliable returns an error if client is nil, or if invalidations are not reliable with
// client.
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

// newStore returns a Store without a client.
func newStore(o Options) *Store {
	s := &Store{opts: o, origin: newOrigin(), inspecting: make(chan struct{}, 1)}
	s.background, s.stop = context.WithCancel(context.Background())
	s.joined.separate = o.SeparateTrips
	s.logs = newPartitions(s)
	s.outage = newOutage(s)
	return s
}

// use makes s use client.
func (s *Store) use(client goredis.UniversalClient) {
	s.client = client
	_, s.single = client.(*goredis.Client)
	s.whole = newCircuit(s, nil)
}

// Close ends the background work, and closes the client if Open made the client. It returns
// the error of closing the client. Calls after Close return cache.ErrUnavailable. Close the
// caches of the Store first. A second Close does nothing and returns the same error.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.stop()
		s.whole.shut()
		s.circuits.shut()
		s.running.Wait()
		s.outage.shut()
		if s.closes {
			s.closeErr = s.client.Close()
		}
	})
	return s.closeErr
}

// inBackground runs work on a goroutine that Close waits for, with a context that Close
// ends. After Close it runs nothing, and returns false.
func (s *Store) inBackground(work func(context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Go(func() { work(s.background) })
	return true
}

// Budget returns Options.Timeout.
func (s *Store) Budget() time.Duration { return s.opts.Timeout }

// Stats are the counts of a Store since the Store was made. States and sizes are those of
// the moment. With several partitions of the log, the counts are sums over all partitions,
// and LogLag is the longest lag.
type Stats struct {
	BreakerOpen      bool   // the Store sends no command to the server, or to a node of the Cluster
	WriteBreakerOpen bool   // the Store sends no command that writes, or none to a node
	NodesOpen        int    // nodes of a Cluster to which the Store sends no command
	BreakerOpened    uint64 // how often a breaker has opened
	BreakerRefused   uint64 // commands that were not sent because a breaker was open
	LeasesRenewed    uint64 // renewals of leases whose loads take long

	LogFollowing bool          // the log is being read, for every cache
	LogEntries   uint64        // entries that were read, including those of this Store
	LogMalformed uint64        // of LogEntries, entries that could not be decoded
	LogSessions  uint64        // connections on which the log was read
	LogGaps      uint64        // times that entries may have been missed
	LogReverts   uint64        // times that the server had lost entries that it had acknowledged
	LogDepth     int64         // entries in the log when the log was last read
	LogLag       time.Duration // recent time from the append of an own entry to its delivery
}

// Stats returns the Store's counts.
func (s *Store) Stats() Stats {
	stats := Stats{
		BreakerOpen:      s.whole.reads.open.Load(),
		WriteBreakerOpen: s.whole.writes.open.Load(),
		BreakerOpened:    s.opened.Load(),
		BreakerRefused:   s.refused.Load(),
		LeasesRenewed:    s.renewed.Load(),
	}
	for _, c := range s.circuits.all() {
		if c.reads.open.Load() {
			stats.BreakerOpen = true
			stats.NodesOpen++
		}
		stats.WriteBreakerOpen = stats.WriteBreakerOpen || c.writes.open.Load()
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
