package cache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/loader"
)

// table is a source that is read by many keys at once: each key has its own name as its value, at
// a version, but for the keys that are missing.
type table struct {
	mu      sync.Mutex
	version int
	missing []string
	calls   [][]string
	err     error
	takes   time.Duration
	during  func() // is called during a load
}

func (s *table) load(ctx context.Context, keys []string) (map[string]string, error) {
	s.mu.Lock()
	s.calls = append(s.calls, slices.Clone(keys))
	found, err, takes, during := make(map[string]string), s.err, s.takes, s.during
	for _, key := range keys {
		if !slices.Contains(s.missing, key) {
			found[key] = s.valueLocked(key)
		}
	}
	s.mu.Unlock()
	if during != nil {
		during()
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return found, err
}

func (s *table) valueLocked(key string) string { return fmt.Sprint(key, "@", s.version) }

func (s *table) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
}

// last makes loads take that long from now on.
func (s *table) last(takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes = takes
}

// wantCalls wants loads of those keys since the last call.
func (s *table) wantCalls(t *testing.T, want ...[]string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.EqualFunc(s.calls, want, slices.Equal) {
		t.Errorf("loads of %q, want %q", s.calls, want)
	}
	s.calls = nil
}

type manyGetter interface {
	GetOrLoadMany(context.Context, []string, func(context.Context, []string) (map[string]string, error)) (map[string]string, error)
	GetMany(context.Context, []string) (map[string]string, error)
}

// wantMany wants a call for keys to return the values of version 0 of want.
func wantMany(t *testing.T, c manyGetter, src *table, keys []string, want ...string) {
	t.Helper()
	got, err := c.GetOrLoadMany(t.Context(), keys, src.load)
	wantFound(t, got, err, at(0, want...))
}

func at(version int, keys ...string) map[string]string {
	m := make(map[string]string)
	for _, key := range keys {
		m[key] = fmt.Sprint(key, "@", version)
	}
	return m
}

func wantFound(t *testing.T, got map[string]string, err error, want map[string]string) {
	t.Helper()
	if err != nil || !maps.Equal(got, want) {
		t.Fatalf("the call returned %q, %v; want %q", got, err, want)
	}
}

func numbered(n int) (keys []string) {
	for i := range n {
		keys = append(keys, "k"+strconv.Itoa(i))
	}
	return keys
}

func TestManyKeysAreLoadedOnceInTheirOrder(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.NotFoundTTL = ttl
		c, src := newCache(t, o), &table{missing: []string{"x"}}
		wantMany(t, c, src, []string{"b"}, "b")
		synctest.Wait()
		src.wantCalls(t, []string{"b"})
		wantMany(t, c, src, []string{"c", "x", "b", "a", "c", "x"}, "a", "b", "c")
		synctest.Wait()
		src.wantCalls(t, []string{"c", "x", "a"})
		wantMany(t, c, src, []string{"a", "x", "c"}, "a", "c") // x is remembered as not found
		src.wantCalls(t)
		got, err := c.GetMany(t.Context(), []string{"a", "x", "unknown", "b"})
		wantFound(t, got, err, at(0, "a", "b"))
		s := c.Stats()
		if s.Loads != 2 || s.Misses != 5 || s.LocalHits != 5 || s.LocalNotFoundHits != 2 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// A thousand misses are one command of each kind, and one load.
func TestManyKeysShareTheirRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		src, keys := &table{}, numbered(1000)
		wantMany(t, a, src, keys, keys...)
		synctest.Wait()
		for op, want := range map[string]int{"get": 1, "lease": 1, "fill": 1, "release": 0} {
			if n := a.remote.Calls(op); n != want {
				t.Errorf("%d commands of the kind %s, want %d", n, op, want)
			}
		}
		src.wantCalls(t, keys)
		wantMany(t, b, src, keys, keys...)
		src.wantCalls(t)
		if get, lease := b.remote.Calls("get"), b.remote.Calls("lease"); get != 1 || lease != 0 {
			t.Errorf("%d gets and %d leases, want 1 and 0", get, lease)
		}
		if s := b.Stats(); s.RemoteHits != 1000 {
			t.Errorf("stats: %+v", s)
		}
		got, err := b.GetMany(t.Context(), append(keys, "another"))
		wantFound(t, got, err, at(0, keys...))
	})
}

func TestALoadOfManyJoinsOthers(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c, src := newCache(t, o), &table{takes: 50 * time.Millisecond}
		slow := func(_ context.Context, key string) (string, error) {
			time.Sleep(100 * time.Millisecond)
			return key + "@0", nil
		}
		var calls sync.WaitGroup
		calls.Go(func() { wantAnswer(t, c, "b", slow, "b@0") })
		time.Sleep(time.Millisecond)
		calls.Go(func() { wantMany(t, c, src, []string{"a", "b", "c"}, "a", "b", "c") })
		time.Sleep(time.Millisecond)
		calls.Go(func() { wantMany(t, c, src, []string{"c", "d"}, "c", "d") })
		calls.Go(func() { wantAnswer(t, c, "a", loading(t), "a@0") })
		time.Sleep(time.Millisecond)
		src.wantCalls(t, []string{"a", "c"}, []string{"d"}) // while b is being loaded
		calls.Wait()
		src.wantCalls(t)
	})
}

// The others do not wait for a key that another instance is loading.
func TestOfManyOnlyOneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		src := &table{}
		var calls sync.WaitGroup
		calls.Go(func() {
			wantAnswer(t, a, "b", func(context.Context, string) (string, error) {
				time.Sleep(200 * time.Millisecond)
				return "b@0", nil
			}, "b@0")
		})
		synctest.Wait()
		calls.Go(func() { wantMany(t, b, src, []string{"a", "b", "c"}, "a", "b", "c") })
		time.Sleep(20 * time.Millisecond)
		src.wantCalls(t, []string{"a", "c"})
		for _, key := range []string{"a", "c"} {
			wantAnswer(t, b, key, loading(t), key+"@0")
		}
		calls.Wait()
		src.wantCalls(t)
	})
}

// The load of another instance ends without a value: then this one loads the key alone.
func TestOfManyOneIsLoadedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		src, failed := &table{}, errors.New("failed")
		var calls sync.WaitGroup
		calls.Go(func() {
			_, err := a.GetOrLoad(t.Context(), "b", func(context.Context, string) (string, error) {
				time.Sleep(200 * time.Millisecond)
				return "", failed
			})
			if err != failed {
				t.Errorf("GetOrLoad: %v", err)
			}
		})
		synctest.Wait()
		wantMany(t, b, src, []string{"a", "b", "c"}, "a", "b", "c")
		calls.Wait()
		src.wantCalls(t, []string{"a", "c"}, []string{"b"})
	})
}

func TestALoadOfManyThatFails(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c, src, failed := newCache(t, o), &table{}, errors.New("failed")
		wantMany(t, c, src, []string{"a"}, "a")
		synctest.Wait()
		src.err = failed
		got, err := c.GetOrLoadMany(t.Context(), []string{"b", "a", "c"}, src.load)
		if err != failed || !maps.Equal(got, at(0, "a")) {
			t.Fatalf("GetOrLoadMany returned %q, %v; want a, and the loader's error", got, err)
		}
		synctest.Wait()
		src.err = nil
		wantMany(t, c, src, []string{"b", "c"}, "b", "c") // the leases are released
		src.wantCalls(t, []string{"a"}, []string{"b", "c"}, []string{"b", "c"})
		if s := c.Stats(); s.LoadErrors != 1 || s.Loads != 3 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestALoadOfManyThatPanics(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c, src := newCache(t, o), &table{}
		func() {
			defer func() {
				if p, is := recover().(*loader.Panic); !is || p.Value != "boom" {
					t.Errorf("the call panicked with %v", p)
				}
			}()
			_, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, func(context.Context, []string) (map[string]string, error) {
				panic("boom")
			})
			t.Errorf("GetOrLoadMany returned %v", err)
		}()
		_, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, func(context.Context, []string) (map[string]string, error) {
			runtime.Goexit()
			return nil, nil
		})
		if err != loader.ErrGoexit {
			t.Errorf("GetOrLoadMany: %v", err)
		}
		synctest.Wait()
		wantMany(t, c, src, []string{"b", "a"}, "a", "b")
		src.wantCalls(t, []string{"b", "a"})
	})
}

func TestALoadOfManyIsLeft(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c, src := newCache(t, o), &table{}
		wantMany(t, c, src, []string{"a"}, "a")
		synctest.Wait()
		src.last(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		got, err := c.GetOrLoadMany(ctx, []string{"a", "b", "c"}, src.load)
		if err != context.DeadlineExceeded || !maps.Equal(got, at(0, "a")) || time.Since(start) != 10*time.Second {
			t.Errorf("GetOrLoadMany returned %q, %v after %v", got, err, time.Since(start))
		}
		time.Sleep(time.Second) // the load's context has ended, and so have its leases
		src.last(0)
		start = time.Now()
		wantMany(t, c, src, []string{"c", "b"}, "b", "c")
		if took := time.Since(start); took > 0 {
			t.Errorf("the next call took %v", took)
		}
		src.wantCalls(t, []string{"a"}, []string{"b", "c"}, []string{"c", "b"})
	})
}

// One caller of a key leaves, and another waits: the load goes on for both keys.
func TestALoadOfManyGoesOnForOthers(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c, src := newCache(t, o), &table{takes: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var calls sync.WaitGroup
		calls.Go(func() {
			if _, err := c.GetOrLoadMany(ctx, []string{"a", "b"}, src.load); err != context.DeadlineExceeded {
				t.Errorf("GetOrLoadMany: %v", err)
			}
		})
		synctest.Wait()
		wantAnswer(t, c, "b", loading(t), "b@0")
		calls.Wait()
		src.wantCalls(t, []string{"a", "b"})
	})
}

// What is invalidated during a load of many is not stored, and the others are.
func TestOneOfManyIsInvalidated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		src := &table{}
		src.during = func() {
			src.during = nil
			src.write()
			if err := b.Invalidate(t.Context(), "b"); err != nil {
				t.Errorf("Invalidate: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		wantMany(t, a, src, []string{"a", "b", "c"}, "a", "b", "c")
		synctest.Wait()
		for _, c := range []*instance{a, b} {
			got, err := c.GetOrLoadMany(t.Context(), []string{"a", "b", "c"}, src.load)
			wantFound(t, got, err, map[string]string{"a": "a@0", "b": "b@1", "c": "c@0"})
			synctest.Wait()
		}
		src.wantCalls(t, []string{"a", "b", "c"}, []string{"b"})
	})
}

// While the remote tier hangs, a call for many keys costs one budget, and one load.
func TestManyKeysWithoutTheRemoteTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		a.remote.Inject(slowBy(time.Hour))
		src, keys, start := &table{}, numbered(100), time.Now()
		wantMany(t, a, src, keys, keys...)
		if took := time.Since(start); took != a.remote.Budget() {
			t.Errorf("the call took %v, want a budget of %v", took, a.remote.Budget())
		}
		src.wantCalls(t, keys)
		synctest.Wait()
		a.remote.Inject(nil)
	})
}

func TestManyStaleValuesAreRevalidatedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		o := options(s.Remote())
		o.StaleWhileRevalidate = ttl
		o.MaxLoads = 2
		c, src, keys := newCache(t, o), &table{}, numbered(50)
		wantMany(t, c, src, keys, keys...)
		synctest.Wait()
		src.write()
		time.Sleep(ttl + time.Second)
		src.wantCalls(t, keys)
		wantMany(t, c, src, keys, keys...)
		synctest.Wait()
		src.wantCalls(t, keys)
		got, err := c.GetMany(t.Context(), keys)
		wantFound(t, got, err, at(1, keys...))
		time.Sleep(ttl + time.Second)
		got, err = c.GetOrLoadMany(t.Context(), append(slices.Clone(keys), "new"), src.load)
		wantFound(t, got, err, at(1, append(keys, "new")...))
	})
}

func TestALoadOfManyTakesOnePlace(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.MaxLoads = 2
		c, src := newCache(t, o), &table{takes: 100 * time.Millisecond}
		start := time.Now()
		var calls sync.WaitGroup
		for i := range 3 {
			calls.Go(func() {
				keys := []string{fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i)}
				wantMany(t, c, src, keys, keys...)
			})
		}
		calls.Wait()
		if took := time.Since(start); took != 200*time.Millisecond {
			t.Errorf("three loads in two places took %v, want 200ms", took)
		}
	})
}

// A loader of many may use the cache for other keys, within its own place.
func TestALoadOfManyThatLoads(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.MaxLoads = 1
		c, src := newCache(t, o), &table{}
		got, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, func(ctx context.Context, keys []string) (map[string]string, error) {
			inner, err := c.GetOrLoadMany(ctx, []string{"c", "d"}, src.load)
			if !maps.Equal(inner, at(0, "c", "d")) {
				t.Errorf("within a load GetOrLoadMany returned %q, %v", inner, err)
			}
			return at(0, keys...), err
		})
		wantFound(t, got, err, at(0, "a", "b"))
	})
}

func TestALoadOfManyHasATimeout(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.LoadTimeout = time.Second
		c, src := newCache(t, o), &table{takes: time.Hour}
		_, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, src.load)
		if err != context.DeadlineExceeded {
			t.Errorf("GetOrLoadMany: %v", err)
		}
	})
}

func TestManyOddCalls(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c, src := newCache(t, o), &table{}
		wantMany(t, c, src, nil)
		src.wantCalls(t)
		got, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, func(_ context.Context, keys []string) (map[string]string, error) {
			return map[string]string{"a": "a@0", "foreign": "x"}, nil
		})
		wantFound(t, got, err, at(0, "a"))
		got, err = c.GetOrLoadMany(t.Context(), []string{"b"}, func(context.Context, []string) (map[string]string, error) {
			return nil, cache.ErrNotFound
		})
		wantFound(t, got, err, nil)
		synctest.Wait()
		if _, err := c.Get(t.Context(), "foreign"); err != cache.ErrMiss {
			t.Errorf("Get of a key that no caller asked for: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.GetOrLoadMany(ctx, []string{"a"}, src.load); err != context.Canceled {
			t.Errorf("with a context that has ended: %v", err)
		}
		_ = c.Close()
		if _, err := c.GetMany(t.Context(), []string{"a"}); err != cache.ErrClosed {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestManyWithoutALocalTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		r := s.Remote()
		o := options(r)
		o.RemoteOnly = true
		c, src, keys := newCache(t, o), &table{}, numbered(100)
		wantMany(t, c, src, keys, keys...)
		synctest.Wait()
		wantMany(t, c, src, keys, keys...)
		got, err := c.GetMany(t.Context(), keys)
		wantFound(t, got, err, at(0, keys...))
		src.wantCalls(t, keys)
		for op, want := range map[string]int{"get": 3, "lease": 1, "fill": 1} {
			if n := r.Calls(op); n != want {
				t.Errorf("%d commands of the kind %s, want %d", n, op, want)
			}
		}
	})
}

// The TTLs of all keys that were read are renewed, by one command.
func TestManyKeysAreTouchedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		src, keys := &table{}, numbered(500)
		wantMany(t, a, src, keys, keys...)
		for range 3 {
			time.Sleep(ttl / 2)
			wantMany(t, b, src, keys, keys...)
			synctest.Wait()
		}
		src.wantCalls(t, keys)
		if n := b.remote.Calls("touch"); n != 3 {
			t.Errorf("%d touches, want 3", n)
		}
		if n := s.Len(); n != len(keys) {
			t.Errorf("%d records, want %d", n, len(keys))
		}
	})
}

// Beyond 10,000 keys a call works on one part after the other.
func TestTooManyKeysForOneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		src, keys := &table{}, numbered(12_000)
		wantMany(t, a, src, keys, keys...)
		synctest.Wait()
		src.wantCalls(t, keys[:10_000], keys[10_000:])
		wantMany(t, b, src, keys, keys...)
		src.wantCalls(t)
	})
}

func TestAHundredThousandKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(nil)
		o.Local.MaxEntries = 200_000
		c, src, keys := newCache(t, o), &table{}, numbered(100_000)
		for range 2 {
			got, err := c.GetOrLoadMany(t.Context(), keys, src.load)
			wantFound(t, got, err, at(0, keys...))
		}
		if n := len(src.calls); n != 10 {
			t.Errorf("%d loads, want 10", n)
		}
	})
}

// The leases of a few misses have time left, however long the reads of the hits beside them took.
func TestManySlowHitsLeaveTimeForLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		src, keys := &table{}, numbered(2000)
		wantMany(t, a, src, keys[:1990], keys[:1990]...)
		synctest.Wait()
		b.remote.Inject(func(op string) cachetest.Fault {
			if op == "get" {
				return cachetest.Fault{Delay: b.remote.Budget() - time.Millisecond}
			}
			return cachetest.Fault{Delay: time.Millisecond}
		})
		wantMany(t, b, src, keys, keys...)
		time.Sleep(time.Second)
		wantMany(t, a, src, keys, keys...)
		src.wantCalls(t, keys[:1990], keys[1990:])
	})
}

// Callers leave during the reads, the leases and the load, while others have joined some of
// their keys: no place for a load is lost, and no lease.
func TestManyCallersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		r := s.Remote()
		o := options(r)
		o.MaxLoads, o.StaleWhileRevalidate = 1, ttl
		c, src := newCache(t, o), &table{takes: 3 * time.Millisecond}
		r.Inject(slowBy(2 * time.Millisecond))
		var calls sync.WaitGroup
		for i := range 300 {
			calls.Go(func() {
				time.Sleep(time.Duration(i%40) * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%23)*500*time.Microsecond)
				defer cancel()
				keys := numbered(3 + i%7)
				if i%3 == 0 {
					_, _ = c.GetOrLoad(ctx, keys[0], func(context.Context, string) (string, error) { return "k0@0", nil })
					return
				}
				_, _ = c.GetOrLoadMany(ctx, keys, src.load)
			})
		}
		calls.Wait()
		time.Sleep(time.Minute)
		r.Inject(nil)
		start := time.Now()
		src.last(0)
		wantMany(t, c, src, []string{"x", "y"}, "x", "y")
		if took := time.Since(start); took > 0 {
			t.Errorf("afterwards a load waits %v for its place", took)
		}
		synctest.Wait()
		if n := c.Stats().Background; n != 0 {
			t.Errorf("%d loads and fills are under way", n)
		}
	})
}

// A call is cancelled, and another waits for one of its keys: a new caller of the other key does
// not wait for the end of the load.
func TestAKeyThatIsLeftIsLoadedAnew(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c, src := newCache(t, o), &table{takes: 5 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var calls sync.WaitGroup
		calls.Go(func() { _, _ = c.GetOrLoadMany(ctx, []string{"a", "b"}, src.load) })
		synctest.Wait()
		calls.Go(func() { wantAnswer(t, c, "b", loading(t), "b@0") })
		time.Sleep(2 * time.Second)
		start := time.Now()
		wantAnswer(t, c, "a", constant("a@0"), "a@0")
		if took := time.Since(start); took > 0 {
			t.Errorf("the load took %v", took)
		}
		calls.Wait()
	})
}

func TestALoaderOfManyReturnsAnotherCachesMiss(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		_, err := c.GetOrLoadMany(t.Context(), []string{"a"}, func(context.Context, []string) (map[string]string, error) {
			return nil, cache.ErrMiss
		})
		if err != cache.ErrMiss {
			t.Errorf("GetOrLoadMany: %v", err)
		}
	})
}

// Close serves a call under way to its end, all parts of it.
func TestCloseDuringACallForMany(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c, src, keys := newCache(t, o), &table{takes: time.Second}, numbered(10_001)
		var calls sync.WaitGroup
		calls.Go(func() { wantMany(t, c, src, keys, keys...) })
		time.Sleep(500 * time.Millisecond)
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		calls.Wait()
		src.wantCalls(t, keys[:10_000], keys[10_000:])
	})
}

// No more than MaxLoads loads of many stale values run in the background.
func TestManyRevalidationsAreLimited(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.StaleWhileRevalidate, o.MaxLoads = ttl, 2
		c, src := newCache(t, o), &table{}
		for i := range 5 {
			keys := []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}
			wantMany(t, c, src, keys, keys...)
		}
		synctest.Wait()
		src.wantCalls(t, []string{"a0", "b0"}, []string{"a1", "b1"}, []string{"a2", "b2"}, []string{"a3", "b3"}, []string{"a4", "b4"})
		time.Sleep(ttl + time.Second)
		src.last(time.Second)
		for i := range 5 {
			keys := []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}
			wantMany(t, c, src, keys, keys...)
			synctest.Wait() // until its load has begun, if it has one
		}
		time.Sleep(2 * time.Second)
		src.wantCalls(t, []string{"a0", "b0"}, []string{"a1", "b1"})
	})
}

// A loader of many does not see what it replaces, so it cannot say that it is not modified.
func TestManyAreNotNotModified(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.StaleIfError = ttl
		c, src := newCache(t, o), &table{}
		wantMany(t, c, src, []string{"a"}, "a")
		time.Sleep(ttl + time.Second)
		got, err := c.GetOrLoadMany(t.Context(), []string{"a", "b"}, func(ctx context.Context, _ []string) (map[string]string, error) {
			if v, ok := cache.Previous[string](ctx); ok {
				t.Errorf("Previous returned %q", v)
			}
			return nil, cache.ErrNotModified
		})
		if err != cache.ErrNotModified || !maps.Equal(got, at(0, "a")) { // a is stale, and stands in for the load
			t.Errorf("GetOrLoadMany returned %q, %v", got, err)
		}
	})
}
