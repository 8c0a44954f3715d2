package peers

import (
	"context"
	"errors"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/redis"
)

type nearside struct {
	store    *redis.Store
	users    *cache.Cache[string, User]
	settings Settings
}

func openNearside(url string, s Settings) (Instance, error) { return openWith(nil, url, s) }

// WithCodec returns nearside with another codec than JSON.
func WithCodec(name string, codec cache.Codec[User]) Peer {
	p := All()[0]
	p.Name = name
	p.Open = func(url string, s Settings) (Instance, error) { return openWith(codec, url, s) }
	return p
}

func openWith(codec cache.Codec[User], url string, s Settings) (Instance, error) {
	store, err := redis.Open(url, redis.Options{})
	if err != nil {
		return nil, err
	}
	o := cache.Options[string, User]{Name: "users", TTL: s.TTL, MaxAge: s.MaxAge, Remote: store, Codec: codec}
	if s.NoLocal {
		o.Local.MaxEntries = 1
	}
	users, err := cache.New(o)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &nearside{store, users, s}, nil
}

func (n *nearside) Get(ctx context.Context, key string) (User, error) {
	return n.users.GetOrLoad(ctx, key, n.settings.Load)
}

func (n *nearside) GetMany(ctx context.Context, keys []string) (map[string]User, error) {
	return n.users.GetOrLoadMany(ctx, keys, n.settings.LoadMany)
}

func (n *nearside) Background() int { return int(n.users.Stats().Background) }

func (n *nearside) Delete(ctx context.Context, key string) error {
	return n.users.Invalidate(ctx, key)
}

func (n *nearside) Close() error {
	return errors.Join(n.users.Close(), n.store.Close())
}
