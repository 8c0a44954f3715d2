package consistency

import (
	"context"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/local"
)

// near is nearside as a storage.
type near struct {
	*nearside
	source *Source
}

func (n near) read(ctx context.Context, keys ...string) (map[string]int64, error) {
	if len(keys) == 1 {
		v, err := n.GetOrLoad(ctx, keys[0], n.source.load)
		if err != nil {
			return nil, err
		}
		return map[string]int64{keys[0]: v.Version}, nil
	}
	found, err := n.GetOrLoadMany(ctx, keys, n.source.loadMany)
	versions := make(map[string]int64)
	for key, v := range found {
		versions[key] = v.Version
	}
	return versions, err
}

func (n near) invalidate(ctx context.Context, keys ...string) error {
	return n.Invalidate(ctx, keys...)
}

func (n near) invalidateTag(ctx context.Context, tag string) error { return n.InvalidateTags(ctx, tag) }

func (n near) invalidateAll(ctx context.Context) error { return n.InvalidateAll(ctx) }

func (n near) mutate(ctx context.Context, key string, write func(context.Context) error) error {
	return n.Mutate(ctx, []string{key}, write)
}

// plain is common cache-aside: GET, load, SET; DEL after a write; and a local LRU in front.
// It has no tags, and deletes all keys that could have a tag instead.
type plain struct {
	local  *local.Store[string, int64]
	ttl    time.Duration // of local
	client goredis.UniversalClient
	source *Source
}

func (p plain) read(ctx context.Context, keys ...string) (map[string]int64, error) {
	versions := make(map[string]int64)
	for _, key := range keys {
		v, err := p.readOne(ctx, key)
		if err != nil {
			return versions, err
		}
		versions[key] = v
	}
	return versions, nil
}

func (p plain) readOne(ctx context.Context, key string) (int64, error) {
	if v, ok := p.local.Get(key); ok {
		return v, nil
	}
	bounded, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if v, err := p.client.Get(bounded, prefix+key).Int64(); err == nil {
		p.keep(key, v)
		return v, nil
	}
	v, err := p.source.load(ctx, key)
	if err != nil {
		return 0, err
	}
	_ = p.client.Set(bounded, prefix+key, strconv.FormatInt(v.Version, 10), 20*time.Second).Err() // a failing cache is no error
	p.keep(key, v.Version)
	return v.Version, nil
}

func (p plain) keep(key string, v int64) { p.local.Add(key, v, 1, local.Lifetime{TTL: p.ttl}) }

func (p plain) invalidate(ctx context.Context, keys ...string) error {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	_, err := p.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error {
		for _, key := range keys {
			pipe.Del(ctx, prefix+key)
		}
		return nil
	})
	for _, key := range keys {
		p.local.Remove(key)
	}
	return err
}

func (p plain) invalidateTag(ctx context.Context, tag string) error {
	var keys []string
	for i := range plainKeys {
		if group(i) == tag {
			keys = append(keys, plainKey(i))
		}
	}
	return p.invalidate(ctx, keys...)
}

func (p plain) invalidateAll(ctx context.Context) error { return p.invalidate(ctx, Keys()...) }

func (p plain) mutate(ctx context.Context, key string, write func(context.Context) error) error {
	if err := write(ctx); err != nil {
		return err
	}
	return p.invalidate(ctx, key)
}
