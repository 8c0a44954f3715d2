package consistency

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// client is one client of a process.
type client struct {
	instance int
	random   *rand.Rand
	source   *Source
	cache    storage
	diary    *diary
	failed   *atomic.Int64
}

// storage is the part of a cache that a client uses.
type storage interface {
	read(ctx context.Context, keys ...string) (map[string]int64, error)
	invalidate(ctx context.Context, keys ...string) error
	invalidateTag(ctx context.Context, tag string) error
	invalidateAll(ctx context.Context) error
	mutate(ctx context.Context, key string, write func(context.Context) error) error
}

const (
	readPause  = 8 * time.Millisecond  // at most, between two reads of a client
	writePause = 40 * time.Millisecond // at most, between two writes
)

// readOn reads random keys until ctx ends.
func (c *client) readOn(ctx context.Context) error {
	keys := Keys()
	for ctx.Err() == nil {
		wanted := []string{c.some(keys)}
		for c.random.IntN(4) == 0 { // some calls are for several keys
			wanted = append(wanted, c.some(keys), c.some(keys))
		}
		start := history.Now()
		found, err := c.cache.read(context.Background(), wanted...)
		end := history.Now()
		if err != nil {
			c.failed.Add(1)
		}
		for key, v := range found {
			c.diary.Reads = append(c.diary.Reads, history.Read{Instance: c.instance, Key: key, Version: v, Start: start, End: end})
		}
		if err := c.diary.save(false); err != nil {
			return err
		}
		time.Sleep(time.Duration(c.random.Int64N(int64(readPause))))
	}
	return c.diary.save(true)
}

// some returns one of keys. Some are hot.
func (c *client) some(keys []string) string {
	return keys[min(c.random.IntN(len(keys)), c.random.IntN(len(keys)))]
}

// writeOn writes to random keys until ctx ends.
func (c *client) writeOn(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := errors.Join(c.write(), c.diary.save(false)); err != nil {
			return err
		}
		time.Sleep(time.Duration(c.random.Int64N(int64(writePause))))
	}
	return c.diary.save(true)
}

// somePlain returns a key that is invalidated by name. Some keys are hot. The others are
// seldom written, so that an old value that was left behind of them is not soon removed by
// chance. For the same reason invalidations of everything are rare.
func (c *client) somePlain() string {
	return plainKey(min(c.random.IntN(plainKeys), c.random.IntN(plainKeys)))
}

// write makes one write of a random kind.
func (c *client) write() error {
	switch n := c.random.IntN(1000); {
	case n < 400:
		key := c.somePlain()
		return c.commitAll([]string{key}, func(ctx context.Context) error { return c.cache.invalidate(ctx, key) })
	case n < 550:
		keys := []string{c.somePlain(), c.somePlain(), c.somePlain()}
		return c.commitAll(keys, func(ctx context.Context) error { return c.cache.invalidate(ctx, keys...) })
	case n < 700:
		g := min(c.random.IntN(groups), c.random.IntN(groups))
		return c.commitAll(inGroup(c.random, g), func(ctx context.Context) error { return c.cache.invalidateTag(ctx, group(g)) })
	case n < 701:
		return c.commitAll([]string{c.somePlain(), c.somePlain()}, c.cache.invalidateAll)
	default:
		return c.mutate(mutatedKey(min(c.random.IntN(mutatedKeys), c.random.IntN(mutatedKeys))))
	}
}

// commitAll commits to keys and invalidates them. It repeats an invalidation that fails, at
// most 99 times.
func (c *client) commitAll(keys []string, invalidate func(context.Context) error) error {
	ctx := context.Background()
	versions := make(map[string]int64)
	for _, key := range keys {
		v, err := c.source.commit(ctx, c.diary, key)
		if err != nil {
			return err
		}
		versions[key] = v
	}
	if err := c.diary.save(true); err != nil {
		return err
	}
	start := history.Now()
	for range 100 {
		if invalidate(ctx) == nil {
			c.invalidated(versions, start)
			return nil
		}
		time.Sleep(time.Duration(c.random.Int64N(int64(50 * time.Millisecond))))
	}
	return nil
}

func (c *client) invalidated(versions map[string]int64, start int64) {
	end := history.Now()
	for key, v := range versions {
		c.diary.Invalidated = append(c.diary.Invalidated, history.Invalidated{Instance: c.instance, Key: key, Version: v, Start: start, End: end})
	}
}

// mutate commits within a Mutate. If the Mutate fails to invalidate, mutate goes on with
// Invalidate, as callers of Mutate would.
func (c *client) mutate(key string) error {
	var v int64
	var failed error
	err := c.cache.mutate(context.Background(), key, func(ctx context.Context) error {
		v, failed = c.source.commit(ctx, c.diary, key)
		return failed
	})
	if failed != nil {
		return failed
	}
	start := history.Now()
	for i := 0; err != nil && i < 100; i++ {
		time.Sleep(time.Duration(c.random.Int64N(int64(50 * time.Millisecond))))
		err = c.cache.invalidate(context.Background(), key)
	}
	if err == nil {
		c.invalidated(map[string]int64{key: v}, start)
	}
	return nil
}
