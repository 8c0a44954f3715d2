package main

import (
	"context"
	"errors"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// instance is what one process of a service would have: a cache, and a store
// with connections of its own. The walk has several of them in one process.
type instance struct {
	products *cache.Cache[int64, product]
	store    *redis.Store
}

func newInstance(redisURL, prefix string) (*instance, error) {
	i := &instance{}
	var err error
	i.store, err = redis.Open(redisURL, redis.Options{
		Prefix:  prefix,
		Timeout: 500 * time.Millisecond, // ten times the default: a busy machine is not to change the counts
	})
	if err != nil {
		return nil, err
	}
	i.products, err = cache.New(cache.Options[int64, product]{
		Name:   "products",
		TTL:    time.Minute,
		Local:  local.Options{MaxEntries: 10_000},
		Remote: i.store,
		Trace:  &cache.Trace{Hit: noteHit, Miss: noteMiss},
	})
	if err != nil {
		return nil, errors.Join(err, i.store.Close())
	}
	return i, nil
}

func (i *instance) close() error {
	return errors.Join(i.products.Close(), i.store.Close())
}

// answer is what one read returned, and how.
type answer struct {
	product product
	from    cache.Tier
	took    time.Duration
}

// answeredBy is the context key of the place where the trace notes, for a single
// call, which tier answered it. The hooks get the context of that call.
type answeredBy struct{}

func noteHit(ctx context.Context, info cache.HitInfo) { note(ctx, info.Tier) }
func noteMiss(ctx context.Context, _ cache.MissInfo)  { note(ctx, tierSource) }

func note(ctx context.Context, tier cache.Tier) {
	if place, ok := ctx.Value(answeredBy{}).(*cache.Tier); ok {
		*place = tier
	}
}

// tierSource stands for the source beside the cache's own tiers.
const tierSource = cache.TierRemote + 1

// read reads a product through the cache.
func (i *instance) read(ctx context.Context, id int64, load func(context.Context, int64) (product, error)) (answer, error) {
	var a answer
	ctx = context.WithValue(ctx, answeredBy{}, &a.from)
	start := time.Now()
	var err error
	a.product, err = i.products.GetOrLoad(ctx, id, load)
	a.took = time.Since(start)
	if err == nil && a.from == 0 {
		err = errors.New("the trace does not tell who answered")
	}
	return a, err
}
