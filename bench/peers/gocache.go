package peers

import (
	"context"
	"errors"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/eko/gocache/lib/v4/cache"
	"github.com/eko/gocache/lib/v4/marshaler"
	"github.com/eko/gocache/lib/v4/store"
	redisstore "github.com/eko/gocache/store/redis/v4"
	ristrettostore "github.com/eko/gocache/store/ristretto/v4"
	goredis "github.com/redis/go-redis/v9"
	"github.com/vmihailenco/msgpack/v5"
)

type gocacheInstance struct {
	client   *goredis.Client
	memory   *ristretto.Cache[string, any]
	loadable *cache.LoadableCache[any]
	values   *marshaler.Marshaler
}

func openGocache(url string, s Settings) (Instance, error) {
	client, err := dial(url)
	if err != nil {
		return nil, err
	}
	memory, err := ristretto.NewCache(&ristretto.Config[string, any]{
		NumCounters: 10 * localEntries,
		MaxCost:     ristrettoCost * localEntries,
		BufferItems: 64,
	})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	tiers := []cache.SetterCacheInterface[any]{cache.New[any](redisstore.NewRedis(client, store.WithExpiration(s.TTL)))}
	if !s.NoLocal {
		near := ristrettostore.NewRistretto(memory, store.WithCost(1), store.WithExpiration(localTTL))
		tiers = []cache.SetterCacheInterface[any]{cache.New[any](near), tiers[0]}
	}
	// The loader encodes its value because the Marshaler decodes what the Loadable returns.
	load := func(ctx context.Context, key any) (any, []store.Option, error) {
		u, err := s.Load(ctx, key.(string))
		if err != nil {
			return nil, nil, err
		}
		data, err := msgpack.Marshal(u)
		return data, nil, err
	}
	loadable := cache.NewLoadable(load, cache.NewChain(tiers...))
	return &gocacheInstance{client, memory, loadable, marshaler.New(loadable)}, nil
}

func (g *gocacheInstance) Get(ctx context.Context, key string) (User, error) {
	var u User
	_, err := g.values.Get(ctx, key, &u)
	return u, err
}

func (g *gocacheInstance) Delete(ctx context.Context, key string) error {
	return g.values.Delete(ctx, key)
}

func (g *gocacheInstance) Close() error {
	err := g.loadable.Close()
	g.memory.Close()
	return errors.Join(err, g.client.Close())
}
