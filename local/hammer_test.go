package local_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/local"
)

// An added value tells its key, its cost, and how many were added before it.
type added struct {
	key    int
	cost   int64
	serial int64
}

func TestMixedOperationsSideBySideLeaveCountsThatAddUp(t *testing.T) {
	const workers, rounds, keys, maxCost = 8, 10_000, 3000, 40
	for _, o := range []local.Options{
		{MaxEntries: 5},
		{MaxEntries: 1000},
		{MaxEntries: 4096, MaxCost: 20_000},
		{MaxEntries: 5, Policy: local.TwoQueue},
		{MaxEntries: 1000, Policy: local.TwoQueue},
		{MaxEntries: 4096, MaxCost: 20_000, Policy: local.TwoQueue},
	} {
		s := newStore[int, added](t, o)
		seed := rand.Uint64()
		t.Logf("%+v: seed %d", o, seed)
		var serials atomic.Int64
		var mu sync.Mutex // guards evicted
		evicted := make(map[int64]bool)
		evict := func(out []local.Evicted[int, added]) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range out {
				if e.Value.key != e.Key || evicted[e.Value.serial] {
					t.Errorf("evicted %+v, before: %v", e, evicted[e.Value.serial])
				}
				evicted[e.Value.serial] = true
			}
		}
		var hits, misses atomic.Uint64
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(w)))
				for i := range rounds {
					key := rng.IntN(keys)
					switch op := rng.IntN(100); {
					case i == rounds/2 && w == 0:
						s.Clear()
					case op < 50:
						v, _, ok := s.Lookup(key)
						if ok && v.key != key {
							t.Errorf("Lookup(%d) = %+v", key, v)
						}
						if ok {
							hits.Add(1)
						} else {
							misses.Add(1)
						}
					case op < 92:
						v := added{key, rng.Int64N(maxCost + 1), serials.Add(1)}
						evict(s.Add(key, v, v.cost, hour))
					default:
						s.Remove(key)
					}
					// Adds side by side can pass a limit by one entry each.
					if n := s.Len(); n < 0 || n > o.MaxEntries+workers {
						t.Errorf("%d entries, limit %d", n, o.MaxEntries)
						return
					}
					if c := s.Stats().Cost; c < 0 || (o.MaxCost > 0 && c > o.MaxCost+workers*maxCost) {
						t.Errorf("cost %d, limit %d", c, o.MaxCost)
						return
					}
				}
			})
		}
		wg.Wait()

		st := s.Stats()
		if st.Hits != hits.Load() || st.Misses != misses.Load() || st.Evictions != uint64(len(evicted)) {
			t.Errorf("Stats are %+v, but callers saw %d hits, %d misses and %d evicted entries",
				st, hits.Load(), misses.Load(), len(evicted))
		}
		entries, cost := 0, int64(0)
		for key := range keys {
			if v, ok := s.Get(key); ok {
				entries++
				cost += v.cost
				if evicted[v.serial] {
					t.Errorf("%+v was returned as evicted and is still there", v)
				}
			}
		}
		mustHold(t, s, entries, cost)
		s.Add(-1, added{key: -1}, 0, hour) // alone: from here the limits are exact
		if st := s.Stats(); st.Entries > o.MaxEntries || (o.MaxCost > 0 && st.Cost > o.MaxCost) {
			t.Errorf("at rest the store holds %d entries of cost %d, limits %d and %d",
				st.Entries, st.Cost, o.MaxEntries, o.MaxCost)
		}
		s.Clear()
		mustHold(t, s, 0, 0)
	}
}

func TestOneOfManyConcurrentCallersIsToldToRenew(t *testing.T) {
	for range 50 {
		s := newStore[string, int](t, local.Options{})
		s.Add("k", 1, 1, local.Lifetime{TTL: time.Hour, RenewEvery: time.Hour})
		if n := dueTo(t, s, 64); n != 1 {
			t.Fatalf("%d callers were told, want 1", n)
		}
	}
}

// One writer per key counts up; readers bound what they may see by what was
// written before they began and after they ended.
func TestReadersSeeEachKeyAdvance(t *testing.T) {
	const keys, writes, readers = 4, 20_000, 4
	s := newStore[int, int64](t, local.Options{MaxEntries: 1000})
	var started, returned [keys]atomic.Int64
	var writers, all sync.WaitGroup
	var stop atomic.Bool
	for k := range keys {
		writers.Go(func() {
			for v := int64(1); v <= writes; v++ {
				started[k].Store(v)
				if v%8 == 0 {
					s.Remove(k)
				}
				s.Add(k, v, v%5, hour)
				returned[k].Store(v)
			}
		})
	}
	for range readers {
		all.Go(func() {
			for i := 0; !stop.Load(); i++ {
				k := i % keys
				low := returned[k].Load()
				v, ok := s.Get(k)
				high := started[k].Load()
				if ok && (v < low || v > high) {
					t.Errorf("Get(%d) = %d, want %d to %d", k, v, low, high)
					return
				}
				if !ok && low > 0 && low == high {
					t.Errorf("Get(%d) missed between two writes", k)
					return
				}
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	all.Wait()
}
