package chaos

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// value is a cached value. Its key shows that it is the value of that key.
type value struct {
	Key     string
	Version int64
}

// storage is the part of a cache that readers and writers use.
type storage interface {
	GetOrLoad(ctx context.Context, key string, load func(context.Context, string) (value, error)) (value, error)
	Invalidate(ctx context.Context, keys ...string) error
	Stats() cache.Stats
}

// uncached is a storage that loads for each read. It loads on another goroutine, as a cache
// does whose loads outlive their callers: what its calls take beyond their loads is the price
// of that on this machine.
type uncached struct{}

func (uncached) GetOrLoad(ctx context.Context, key string, load func(context.Context, string) (value, error)) (v value, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err = load(ctx, key)
	}()
	<-done // this load always ends
	return v, err
}

func (uncached) Invalidate(context.Context, ...string) error { return nil }

func (uncached) Stats() cache.Stats { return cache.Stats{} }

// instance is a storage, and how to close it.
type instance struct {
	storage
	close func() error
}

const cacheName = "chaos"

// open returns an instance. Except for Local.TTL, and the windows, its options are the defaults.
// Without Redis its values end as the local copies of the others do.
func (c Config) open(logger *slog.Logger) (instance, error) {
	if c.Client == noCache {
		return instance{uncached{}, func() error { return nil }}, nil
	}
	if c.Client == noRedis {
		o := cache.Options[string, value]{Name: cacheName, TTL: cmp.Or(c.Local, ttl/2), FixedTTL: true, Logger: logger}
		near, err := cache.New(o)
		if err != nil {
			return instance{}, err
		}
		return instance{near, near.Close}, nil
	}
	store, closeClient, err := c.store(redis.Options{Logger: logger})
	if err != nil {
		return instance{}, err
	}
	o := cache.Options[string, value]{
		Name: cacheName, TTL: ttl, Remote: store, Logger: logger, Local: local.Options{TTL: c.Local},
	}
	if c.Windows {
		o.StaleWhileRevalidate, o.StaleIfError, o.StaleIfRemoteDown, o.EarlyRevalidation = ttl, ttl, down, 1
	}
	near, err := cache.New(o)
	if err != nil {
		return instance{}, err
	}
	return instance{near, func() error { return errors.Join(near.Close(), store.Close(), closeClient()) }}, nil
}

// store returns a Store, and a function that closes a client handed to it.
func (c Config) store(o redis.Options) (*redis.Store, func() error, error) {
	if c.Client == openURL {
		store, err := redis.Open(c.URL, o)
		return store, func() error { return nil }, err
	}
	client, err := c.client()
	if err != nil {
		return nil, nil, err
	}
	store, err := redis.New(client, o)
	return store, client.Close, err
}

// client returns a client with the defaults of go-redis.
func (c Config) client() (goredis.UniversalClient, error) {
	switch c.Client {
	case failoverClient:
		return goredis.NewFailoverClient(&goredis.FailoverOptions{MasterName: c.Master, SentinelAddrs: c.Addrs}), nil
	case clusterClient:
		o := &goredis.ClusterOptions{Addrs: c.Addrs}
		if c.Links != nil {
			o.Dialer = c.dialLink
		}
		return goredis.NewClusterClient(o), nil
	}
	o, err := goredis.ParseURL(c.URL)
	if err != nil {
		return nil, err
	}
	return goredis.NewClient(o), nil
}

// dialLink dials the link to a node in place of the node.
func (c Config) dialLink(ctx context.Context, network, addr string) (net.Conn, error) {
	if link, ok := c.Links[addr]; ok {
		addr = link
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}
