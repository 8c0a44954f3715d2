package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

func TestLocalHitDoesNotAllocate(t *testing.T) {
	for name, remote := range map[string]remote.Tier{"local only": nil, "two tiers": cachetest.NewServer().Remote()} {
		t.Run(name+"/string", func(t *testing.T) { wantNoAllocations(t, remote, "key") })
		t.Run(name+"/int64", func(t *testing.T) { wantNoAllocations(t, remote, int64(1<<40)) })
	}
}

// A hit may start a run of the local tier's ticks, which allocates its timers;
// averaged over the runs that is nothing.
func wantNoAllocations[K comparable](t *testing.T, remote remote.Tier, key K) {
	type value [4]string
	c := newCache(t, cache.Options[K, value]{Name: "test", TTL: time.Hour, Remote: remote})
	load := func(ctx, K) (value, error) { return value{"v"}, nil }
	ctx := context.Background()
	if _, err := c.GetOrLoad(ctx, key, load); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() (value, error){
		"Get":       func() (value, error) { return c.Get(ctx, key) },
		"GetOrLoad": func() (value, error) { return c.GetOrLoad(ctx, key, load) },
	} {
		hits := c.Stats().LocalHits
		var v value
		var err error
		if n := testing.AllocsPerRun(1000, func() { v, err = read() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if v[0] != "v" || err != nil || c.Stats().LocalHits-hits != 1001 {
			t.Errorf("%s: %v, %v, %d local hits", name, v, err, c.Stats().LocalHits-hits)
		}
	}
}
