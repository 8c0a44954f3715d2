package consistency

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

const (
	prefix = "fleet" // of the keys in Redis
	logKey = prefix + ":log"
)

// value is a cached value: a version, and the group of its key.
type value struct {
	Version int64
	Group   string
}

type nearside = cache.Cache[string, value]

// open returns an instance of the fleet, and a function that closes the instance.
func (c Config) open() (*nearside, func(), error) {
	o := redis.Options{Prefix: prefix, Timeout: budget, LeaseTTL: time.Second, LogTimeout: logTimeout, LogLength: 2000}
	client := c.client()
	store, err := redis.New(client, o)
	if err != nil {
		return nil, nil, err
	}
	var remote remote.Tier = store
	if c.Deaf {
		remote = deaf{store}
	}
	ttl := max(20*time.Second, 2*c.Local)
	near, err := cache.New(cache.Options[string, value]{
		Name: "c", TTL: ttl, MaxAge: 3 * ttl, Remote: remote,
		LoadTimeout: 5 * time.Second, MutateTimeout: mutateTimeout,
		Local: local.Options{TTL: c.Local},
		Tags: func(_ string, v value) []string {
			return []string{v.Group, v.Group + "/" + strconv.FormatInt(v.Version%3, 10)}
		},
	})
	if err != nil {
		return nil, nil, err
	}
	return near, func() { _, _, _ = near.Close(), store.Close(), client.Close() }, nil
}

// client returns a client whose connections all go through links.
func (c Config) client() goredis.UniversalClient {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if link, ok := c.Redis[addr]; ok {
			addr = link
		}
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	addrs := make([]string, 0, len(c.Redis))
	for addr := range c.Redis {
		addrs = append(addrs, addr)
	}
	if c.Cluster {
		return goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs, Dialer: dial, ContextTimeoutEnabled: true})
	}
	return goredis.NewClient(&goredis.Options{Addr: addrs[0], Dialer: dial, ContextTimeoutEnabled: true})
}

// load reads the source, and then takes up to loadTakes, so that other events can come in
// between.
func (s *Source) load(ctx context.Context, key string) (value, error) {
	found, err := s.loadMany(ctx, []string{key})
	return found[key], err
}

// loadMany is load for several keys.
func (s *Source) loadMany(ctx context.Context, keys []string) (map[string]value, error) {
	found := make(map[string]value)
	for _, key := range keys {
		v, err := s.Version(ctx, key)
		if err != nil {
			return nil, err
		}
		number, _ := strconv.Atoi(strings.TrimLeft(key, "km"))
		found[key] = value{v, group(number)}
	}
	time.Sleep(rand.N(loadTakes))
	return found, nil
}
