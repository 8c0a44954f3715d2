package sentinel_test

import (
	"context"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/examples/concert/system/servers/sentinel"
	"github.com/nearside-go/nearside/redis"
)

func start(t *testing.T) *sentinel.Group {
	t.Helper()
	g, err := sentinel.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// join returns a cache on the Redis that the Sentinels name.
func join(t *testing.T, g *sentinel.Group) *cache.Cache[string, string] {
	t.Helper()
	store, err := redis.Open(g.URL(), redis.Options{Timeout: time.Second}) // the machine may be busy
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.New(cache.Options[string, string]{Name: "words", TTL: time.Hour, Remote: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close() // what it could not deliver is of no interest
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestAFailover: the primary is killed twice, and each time what one cache sets afterwards is
// read by another one that has just started.
func TestAFailover(t *testing.T) {
	g := start(t)
	writer := join(t, g)
	for _, value := range []string{"first", "second", "third"} {
		await(t, "a value passes from cache to cache", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if writer.Set(ctx, "key", value) != nil {
				return false
			}
			got, err := join(t, g).Get(ctx, "key")
			return err == nil && got == value
		})
		if err := g.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := g.AwaitPromotion(); err != nil {
			t.Fatal(err)
		}
		if err := g.Start(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAHang(t *testing.T) {
	g := start(t)
	c := join(t, g)
	if err := g.Hang(); err != nil {
		t.Fatal(err)
	}
	if err := g.Resume(); err != nil {
		t.Fatal(err)
	}
	await(t, "a value can be set", func() bool { return c.Set(t.Context(), "key", "value") == nil })
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not so after 30 s: %s", what)
		}
	}
}
