package peers

import (
	"context"

	"github.com/go-redis/cache/v9"
	goredis "github.com/redis/go-redis/v9"
)

type goRedisCache struct {
	client   *goredis.Client
	cache    *cache.Cache
	settings Settings
}

func openGoRedisCache(url string, s Settings) (Instance, error) {
	client, err := dial(url)
	if err != nil {
		return nil, err
	}
	o := &cache.Options{Redis: client}
	if !s.NoLocal {
		o.LocalCache = cache.NewTinyLFU(localEntries, localTTL)
	}
	return &goRedisCache{client, cache.New(o), s}, nil
}

func (g *goRedisCache) Get(ctx context.Context, key string) (User, error) {
	var u User
	err := g.cache.Once(&cache.Item{
		Ctx:   ctx,
		Key:   key,
		Value: &u,
		TTL:   g.settings.TTL,
		Do: func(item *cache.Item) (any, error) {
			return g.settings.Load(item.Context(), item.Key)
		},
	})
	return u, err
}

func (g *goRedisCache) Delete(ctx context.Context, key string) error {
	return g.cache.Delete(ctx, key)
}

func (g *goRedisCache) Close() error { return g.client.Close() }
