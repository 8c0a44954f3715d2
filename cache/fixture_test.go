package cache_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

// exact is a Jitter that moves nothing by a whole nanosecond of these TTLs.
const exact = 1e-18

const ttl = time.Minute

type ctx = context.Context

// options are those of most tests: a cache without jitter on remote.
func options(remote remote.Tier) cache.Options[string, string] {
	return cache.Options[string, string]{Name: "test", TTL: ttl, Jitter: exact, Remote: remote}
}

func newCache[K comparable, V any](t *testing.T, o cache.Options[K, V]) *cache.Cache[K, V] {
	t.Helper()
	c, err := cache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// pair returns two instances on one server, and what they reach it through.
func pair(t *testing.T) (s *cachetest.Server, a, b *instance) {
	t.Helper()
	s = cachetest.NewServer()
	return s, newInstance(t, s), newInstance(t, s)
}

type instance struct {
	*cache.Cache[string, string]
	remote *cachetest.Remote
}

func newInstance(t *testing.T, s *cachetest.Server) *instance {
	t.Helper()
	r := s.Remote()
	return &instance{newCache(t, options(r)), r}
}

// replace closes i's cache, puts another of those options in its place, and returns it.
func (i *instance) replace(t *testing.T, o cache.Options[string, string]) *cache.Cache[string, string] {
	t.Helper()
	_ = i.Close()
	o.Remote = i.remote
	i.Cache = newCache(t, o)
	return i.Cache
}

// remoteKey is where the caches of options keep key.
func remoteKey(key string) string { return "test:0:" + key }

// source is a system of record: a version for all keys, and a count of loads.
type source struct {
	version atomic.Int64
	loads   atomic.Int64
}

func (s *source) load(context.Context, string) (string, error) {
	s.loads.Add(1)
	return s.now(), nil
}

func (s *source) now() string { return "v" + strconv.FormatInt(s.version.Load(), 10) }

func (s *source) write() { s.version.Add(1) }

// gated is a loader that reads the source, reports that it has, and returns when
// it is told to.
func (s *source) gated() (load func(context.Context, string) (string, error), read, finish chan struct{}) {
	read, finish = make(chan struct{}), make(chan struct{})
	return func(context.Context, string) (string, error) {
		s.loads.Add(1)
		v := s.now()
		close(read)
		<-finish
		return v, nil
	}, read, finish
}

func constant(v string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return v, nil }
}

func failing(err error) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return "", err }
}

// loading is a loader for a test in which nothing may be loaded.
func loading(t *testing.T) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) {
		t.Error("the loader ran")
		return "", errors.New("the loader ran")
	}
}

// wantLoad returns when what was loaded is in the tiers, or its fill hangs. It is for
// bubbles, and for one goroutine at a time.
func wantLoad(t *testing.T, c getter, key string, load func(context.Context, string) (string, error), want string) {
	t.Helper()
	wantAnswer(t, c, key, load, want)
	synctest.Wait()
}

// wantAnswer is wantLoad that does not wait for what goes on behind the call.
func wantAnswer(t *testing.T, c getter, key string, load func(context.Context, string) (string, error), want string) {
	t.Helper()
	if v, err := c.GetOrLoad(t.Context(), key, load); v != want || err != nil {
		t.Fatalf("GetOrLoad: %q, %v; want %q", v, err, want)
	}
}

// loadOutside is wantLoad for tests that are not in a bubble.
func loadOutside(t *testing.T, c cacher, key string, load func(context.Context, string) (string, error), want string) {
	t.Helper()
	wantAnswer(t, c, key, load, want)
	idleOutside(t, c)
}

// idleOutside waits until nothing goes on behind the calls that have returned.
func idleOutside(t *testing.T, c cacher) {
	t.Helper()
	for start := time.Now(); c.Stats().Background > 0; runtime.Gosched() {
		if time.Since(start) > time.Minute {
			t.Fatal("what goes on behind the call does not end")
		}
	}
}

type cacher interface {
	getter
	Stats() cache.Stats
}

type getter interface {
	Get(context.Context, string) (string, error)
	GetOrLoad(context.Context, string, func(context.Context, string) (string, error)) (string, error)
	Invalidate(context.Context, ...string) error
}

// wantLoad returns when what was loaded is in the tiers, or its fill hangs. It is for
// bubbles.
func wantGet(t *testing.T, c getter, key, want string) {
	t.Helper()
	if v, err := c.Get(t.Context(), key); v != want || err != nil {
		t.Fatalf("Get: %q, %v; want %q", v, err, want)
	}
}

func wantMiss(t *testing.T, c getter, key string) {
	t.Helper()
	if v, err := c.Get(t.Context(), key); err != cache.ErrMiss {
		t.Fatalf("Get: %q, %v; want a miss", v, err)
	}
}

func invalidate(t *testing.T, c getter, keys ...string) {
	t.Helper()
	if err := c.Invalidate(t.Context(), keys...); err != nil {
		t.Fatalf("Invalidate: %v", err)
	}
}
