package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// A cache without a Remote has a local tier only, and keeps all the rest.
func ExampleCache_GetOrLoad() {
	prices, err := cache.New(cache.Options[string, int]{
		Name:        "prices",
		TTL:         time.Minute,
		NotFoundTTL: 10 * time.Second,
	})
	if err != nil {
		panic(err)
	}
	defer prices.Close()
	load := func(_ context.Context, product string) (int, error) {
		fmt.Println("loading", product)
		if product != "tea" {
			return 0, cache.ErrNotFound
		}
		return 450, nil
	}
	ctx := context.Background()
	for _, product := range []string{"tea", "tea", "unicorn", "unicorn"} {
		price, err := prices.GetOrLoad(ctx, product, load)
		fmt.Println(price, err)
	}
	// Output:
	// loading tea
	// 450 <nil>
	// 450 <nil>
	// loading unicorn
	// 0 nearside: not found
	// 0 nearside: not found
}

// After the write to the source has committed, Invalidate makes every instance
// load anew.
func ExampleCache_Invalidate() {
	remote := cachetest.NewServer().Remote() // in a service: redis.Open
	names, err := cache.New(cache.Options[int, string]{Name: "names", TTL: time.Minute, Remote: remote})
	if err != nil {
		panic(err)
	}
	defer names.Close()
	row := "Ada"
	load := func(context.Context, int) (string, error) { return row, nil }
	ctx := context.Background()
	fmt.Println(names.GetOrLoad(ctx, 7, load))
	row = "Grace" // UPDATE, COMMIT
	fmt.Println(names.GetOrLoad(ctx, 7, load))
	fmt.Println(names.Invalidate(ctx, 7))
	fmt.Println(names.GetOrLoad(ctx, 7, load))
	// Output:
	// Ada <nil>
	// Ada <nil>
	// <nil>
	// Grace <nil>
}

// An instance that ends while Redis is away hands its invalidations to a queue, from which another
// instance makes them.
func ExampleCache_Redeliver() {
	var queue [][]byte // in a service: a queue that outlives the instance
	open := func(remote cache.Remote) *cache.Cache[int, string] {
		c, err := cache.New(cache.Options[int, string]{
			Name: "names", TTL: time.Minute, Remote: remote,
			DeadLetters: func(_ context.Context, u cache.Undelivered) {
				letter, _ := json.Marshal(u)
				queue = append(queue, letter)
			},
		})
		if err != nil {
			panic(err)
		}
		return c
	}
	server := cachetest.NewServer() // in a service: Redis
	remote := server.Remote()
	a, b := open(remote), open(server.Remote())
	defer b.Close()
	row := "Ada"
	load := func(context.Context, int) (string, error) { return row, nil }
	ctx := context.Background()
	fmt.Println(b.GetOrLoad(ctx, 7, load))

	row = "Grace" // UPDATE, COMMIT, by the instance of a
	remote.Inject(func(string) cachetest.Fault { return cachetest.Fault{Err: cache.ErrUnavailable} })
	fmt.Println(a.Invalidate(ctx, 7))
	fmt.Println(a.Close())
	for _, letter := range queue {
		var u cache.Undelivered
		if err := json.Unmarshal(letter, &u); err != nil {
			panic(err)
		}
		fmt.Println(u.Cache, u.Keys, b.Redeliver(ctx, u))
	}
	fmt.Println(b.GetOrLoad(ctx, 7, load))
	// Output:
	// Ada <nil>
	// cache: names: remote invalidate: cache: the remote tier is unavailable; the invalidation is queued
	// <nil>
	// names [7] <nil>
	// Grace <nil>
}

// Get asks the tiers and never loads.
func ExampleCache_Get() {
	c, err := cache.New(cache.Options[int, string]{Name: "names", TTL: time.Minute})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	_, err = c.Get(context.Background(), 7)
	fmt.Println(errors.Is(err, cache.ErrMiss))
	// Output: true
}

// The fields of hits and Misses count calls, and Loads counts what they cost the source.
func ExampleCache_Stats() {
	c, err := cache.New(cache.Options[string, int]{Name: "prices", TTL: time.Minute})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	for _, product := range []string{"tea", "tea", "coffee", "tea"} {
		_, _ = c.GetOrLoad(context.Background(), product, func(context.Context, string) (int, error) { return 450, nil })
	}
	s := c.Stats()
	local, remote := s.LocalHits+s.LocalNotFoundHits, s.RemoteHits+s.RemoteNotFoundHits
	calls := local + remote + s.StaleHits + s.Misses
	fmt.Printf("%d calls: %d local, %d remote, %d stale, %d misses\n", calls, local, remote, s.StaleHits, s.Misses)
	fmt.Printf("hit ratio %.2f, %d loads\n", 1-float64(s.Misses)/float64(calls), s.Loads)
	// Output:
	// 4 calls: 2 local, 0 remote, 0 stale, 2 misses
	// hit ratio 0.50, 2 loads
}

// A trace tells who answered each call, by a note in the call's context.
func ExampleTrace() {
	type answeredBy struct{}
	note := func(ctx context.Context, who string) {
		if place, ok := ctx.Value(answeredBy{}).(*string); ok {
			*place = who
		}
	}
	c, err := cache.New(cache.Options[string, int]{
		Name: "prices",
		TTL:  time.Minute,
		Trace: &cache.Trace{
			Hit:  func(ctx context.Context, i cache.HitInfo) { note(ctx, i.Tier.String()) },
			Miss: func(ctx context.Context, _ cache.MissInfo) { note(ctx, "source") },
		},
	})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	for range 2 {
		var who string
		ctx := context.WithValue(context.Background(), answeredBy{}, &who)
		price, _ := c.GetOrLoad(ctx, "tea", func(context.Context, string) (int, error) { return 450, nil })
		fmt.Println(price, "from", who)
	}
	// Output:
	// 450 from source
	// 450 from local
}
