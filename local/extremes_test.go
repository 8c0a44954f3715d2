package local_test

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/local"
)

func TestLongestSlidingTTLOutlivesItsFirstRead(t *testing.T) {
	s := newStore[string, int](t, local.Options{})
	s.Add("k", 1, 1, local.Lifetime{TTL: math.MaxInt64, Slides: true})
	mustHit(t, s, "k", 1)
	mustHit(t, s, "k", 1)
}

func TestLongestRenewEveryTellsOneCaller(t *testing.T) {
	s := newStore[string, int](t, local.Options{})
	s.Add("k", 1, 1, local.Lifetime{TTL: time.Hour, RenewEvery: math.MaxInt64})
	if n := dueTo(t, s, 50); n != 1 {
		t.Errorf("%d callers were told, want 1", n)
	}
}

// Readers can move every other entry before the new one, between its Add and
// the eviction that this needs: the new one is then the oldest, and spared.
func TestLimitHoldsAfterAnAddBesideReaders(t *testing.T) {
	s := newStore[int, int](t, local.Options{MaxEntries: 1})
	var stop atomic.Bool
	var current atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for !stop.Load() {
				s.Get(int(current.Load()))
			}
		})
	}
	over := 0
	for i := range 200_000 {
		s.Add(i, i, 1, hour)
		if s.Len() > 1 {
			over++
		}
		current.Store(int64(i))
	}
	stop.Store(true)
	wg.Wait()
	if over > 0 {
		t.Errorf("over the limit after %d Adds", over)
	}
}

func TestKeysThatDoNotEqualThemselvesAreNotStored(t *testing.T) {
	s := newStore[float64, int](t, local.Options{MaxEntries: 2})
	s.Add(1, 1, 1, hour)
	for range 5 {
		if evicted := s.Add(math.NaN(), 1, 1, hour); len(evicted) > 0 {
			t.Errorf("an Add that stores nothing evicts %v", evicted)
		}
		if _, ok := s.Get(math.NaN()); ok || s.Remove(math.NaN()) {
			t.Error("the entry is found")
		}
	}
	if st := s.Stats(); st.Entries != 1 || st.Cost != 1 || st.Evictions != 0 {
		t.Errorf("stats: %+v", st)
	}
	mustHit(t, s, 1, 1)
	s.Clear()
}
