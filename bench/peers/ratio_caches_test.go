package peers_test

import (
	"testing"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/hashicorp/golang-lru/arc/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"

	nearlocal "github.com/nearside-go/nearside/local"
)

// boundedCache is a cache of a capacity, of which only the hits count.
type boundedCache struct {
	get func(key int) bool
	add func(key int)
}

var bounded = []struct {
	name string
	open func(t *testing.T, capacity int) boundedCache
}{
	{"golang-lru", boundedLRU},
	{"golang-lru 2Q", bounded2Q},
	{"golang-lru ARC", boundedARC},
	{"otter", boundedOtter},
	{"theine", boundedTheine},
	{"nearside", boundedNear(nearlocal.Options{})},
	{"nearside, TwoQueue", boundedNear(nearlocal.Options{Policy: nearlocal.TwoQueue})},
}

func boundedLRU(t *testing.T, capacity int) boundedCache {
	c, err := lru.New[int, int](capacity)
	return golangCache(t, c, err)
}

func bounded2Q(t *testing.T, capacity int) boundedCache {
	c, err := lru.New2Q[int, int](capacity)
	return golangCache(t, twoQueues{c}, err)
}

func boundedARC(t *testing.T, capacity int) boundedCache {
	c, err := arc.NewARC[int, int](capacity)
	return golangCache(t, adaptive{c}, err)
}

type twoQueues struct{ *lru.TwoQueueCache[int, int] }

func (c twoQueues) Add(key, value int) bool { c.TwoQueueCache.Add(key, value); return false }

type adaptive struct{ *arc.ARCCache[int, int] }

func (c adaptive) Add(key, value int) bool { c.ARCCache.Add(key, value); return false }

func golangCache(t *testing.T, c interface {
	Get(key int) (int, bool)
	Add(key, value int) bool
}, err error) boundedCache {
	if err != nil {
		t.Fatal(err)
	}
	return boundedCache{
		get: func(key int) bool { _, ok := c.Get(key); return ok },
		add: func(key int) { c.Add(key, key) },
	}
}

// boundedOtter does on the caller's goroutine what otter does on others by default, so that
// it is not behind the reads.
func boundedOtter(t *testing.T, capacity int) boundedCache {
	c, err := otter.New(&otter.Options[int, int]{MaximumSize: capacity, Executor: func(f func()) { f() }})
	if err != nil {
		t.Fatal(err)
	}
	return boundedCache{
		get: func(key int) bool { _, ok := c.GetIfPresent(key); return ok },
		add: func(key int) { c.Set(key, key) },
	}
}

// boundedTheine waits after each addition, so that theine is not behind the reads.
func boundedTheine(t *testing.T, capacity int) boundedCache {
	c, err := theine.NewBuilder[int, int](int64(capacity)).Build()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return boundedCache{
		get: func(key int) bool { _, ok := c.Get(key); return ok },
		add: func(key int) { c.Set(key, key, 1); c.Wait() },
	}
}

func boundedNear(o nearlocal.Options) func(*testing.T, int) boundedCache {
	return func(t *testing.T, capacity int) boundedCache {
		o.MaxEntries = capacity
		s, err := nearlocal.New[int, int](o)
		if err != nil {
			t.Fatal(err)
		}
		return boundedCache{
			get: func(key int) bool { _, ok := s.Get(key); return ok },
			add: func(key int) { s.Add(key, key, 1, nearlocal.Lifetime{TTL: time.Hour}) },
		}
	}
}
