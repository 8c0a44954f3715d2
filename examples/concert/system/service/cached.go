package service

import (
	"context"
	"errors"

	"github.com/nearside-go/nearside/cache"

	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// cached reads values through a cache, or without one: an example of how to measure the worth
// of a cache, or to turn it off.
type cached[K comparable, V any] struct {
	cacheName string
	load      func(context.Context, K) (V, error)
	cache     *cache.Cache[K, V] // nil reads each value from the store
}

// newCached returns a cached that loads with load. Without a remote there is no cache.
func newCached[K comparable, V any](o cache.Options[K, V], load func(context.Context, K) (V, error)) (*cached[K, V], error) {
	c := &cached[K, V]{cacheName: o.Name, load: func(ctx context.Context, key K) (V, error) {
		v, err := load(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			err = cache.ErrNotFound // the cache remembers ErrNotFound, and no other error
		}
		return v, err
	}}
	if o.Remote == nil {
		return c, nil
	}
	var err error
	c.cache, err = cache.New(o)
	return c, err
}

func (c *cached[K, V]) get(ctx context.Context, key K) (V, error) {
	if c.cache == nil {
		return c.load(ctx, key)
	}
	return c.cache.GetOrLoad(ctx, key, c.load)
}

func (c *cached[K, V]) invalidate(ctx context.Context, keys ...K) error {
	if c.cache == nil {
		return nil
	}
	return c.cache.Invalidate(ctx, keys...)
}

func (c *cached[K, V]) invalidateTags(ctx context.Context, tags ...string) error {
	if c.cache == nil {
		return nil
	}
	return c.cache.InvalidateTags(ctx, tags...)
}

// redeliver makes the invalidations that an instance could not deliver when it ended.
func (c *cached[K, V]) redeliver(ctx context.Context, u cache.Undelivered) error {
	if c.cache == nil {
		return nil
	}
	return c.cache.Redeliver(ctx, u)
}

func (c *cached[K, V]) name() string { return c.cacheName }

func (c *cached[K, V]) close() error {
	if c.cache == nil {
		return nil
	}
	return c.cache.Close()
}

func (c *cached[K, V]) stats() cache.Stats {
	if c.cache == nil {
		return cache.Stats{}
	}
	return c.cache.Stats()
}
