package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nearside-go/nearside/cache"

	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// cached reads values through a cache, or without one.
type cached[K comparable, V any] struct {
	name  string
	load  func(context.Context, K) (V, error)
	cache *cache.Cache[K, V] // nil reads each value from the store
}

// newCached returns a cached that loads with load. Without a remote there is no cache.
func newCached[K comparable, V any](o cache.Options[K, V], load func(context.Context, K) (V, error)) (*cached[K, V], error) {
	c := &cached[K, V]{name: o.Name, load: func(ctx context.Context, key K) (V, error) {
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
	if c.cache == nil || c.name != u.Cache {
		return nil
	}
	if u.All {
		return c.cache.InvalidateAll(ctx)
	}
	var keys []K
	for _, text := range u.Keys {
		key, err := parseKey[K](text)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	var errs [2]error
	if len(keys) > 0 {
		errs[0] = c.cache.Invalidate(ctx, keys...)
	}
	if len(u.Tags) > 0 {
		errs[1] = c.cache.InvalidateTags(ctx, u.Tags...)
	}
	return errors.Join(errs[:]...)
}

// parseKey is the inverse of how nearside writes the keys of this service.
func parseKey[K comparable](text string) (key K, err error) {
	switch into := any(&key).(type) {
	case *string:
		*into = text
	case *int64:
		*into, err = strconv.ParseInt(text, 10, 64)
	default:
		err = fmt.Errorf("there are no keys of type %T", key)
	}
	return key, err
}

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
