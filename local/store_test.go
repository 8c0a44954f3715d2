package local_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nearside-go/nearside/local"
)

// hour is a lifetime that no test lives to see the end of.
var hour = local.Lifetime{TTL: time.Hour}

func newStore[K comparable, V any](t testing.TB, o local.Options) *local.Store[K, V] {
	t.Helper()
	s, err := local.New[K, V](o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustHit[K comparable, V any](t testing.TB, s *local.Store[K, V], key K, want V) {
	t.Helper()
	got, ok := s.Get(key)
	if !ok {
		t.Fatalf("Get(%v) missed, want %v", key, want)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("Get(%v) (-want +got):\n%s", key, d)
	}
}

func mustMiss[K comparable, V any](t testing.TB, s *local.Store[K, V], key K) {
	t.Helper()
	got, ok := s.Get(key)
	if ok {
		t.Fatalf("Get(%v) = %v, want a miss", key, got)
	}
	if d := cmp.Diff(*new(V), got); d != "" {
		t.Fatalf("a miss of %v came with a value (-zero +got):\n%s", key, d)
	}
}

// mustHold checks the number of entries and the sum of their costs.
func mustHold[K comparable, V any](t testing.TB, s *local.Store[K, V], entries int, cost int64) {
	t.Helper()
	st := s.Stats()
	if st.Entries != entries || st.Cost != cost || s.Len() != entries {
		t.Fatalf("the store holds %d entries (Len %d) of cost %d, want %d of cost %d",
			st.Entries, s.Len(), st.Cost, entries, cost)
	}
}

func TestAddedValueIsFoundUntilRemoved(t *testing.T) {
	s := newStore[string, int](t, local.Options{})
	mustMiss(t, s, "a")
	s.Add("a", 1, 5, hour)
	s.Add("b", 2, 7, hour)
	mustHit(t, s, "a", 1)
	mustHit(t, s, "b", 2)
	mustHold(t, s, 2, 12)

	if !s.Remove("a") {
		t.Error("Remove found no entry under a key that was added")
	}
	if s.Remove("a") {
		t.Error("Remove found the entry that it had removed before")
	}
	mustMiss(t, s, "a")
	mustHit(t, s, "b", 2)
	mustHold(t, s, 1, 7)
}

func TestZeroValueIsAHit(t *testing.T) {
	s := newStore[string, *int](t, local.Options{})
	s.Add("nil", nil, 0, hour)
	mustHit(t, s, "nil", nil)
}

func TestAddReplacesValueAndCost(t *testing.T) {
	s := newStore[string, string](t, local.Options{})
	s.Add("k", "old", 10, hour)
	if evicted := s.Add("k", "new", 3, hour); len(evicted) != 0 {
		t.Errorf("replacing an entry evicted %v", evicted)
	}
	mustHit(t, s, "k", "new")
	mustHold(t, s, 1, 3)
}

func TestNegativeCostCountsAsZero(t *testing.T) {
	s := newStore[string, int](t, local.Options{MaxCost: 10})
	s.Add("a", 1, -5, hour)
	mustHit(t, s, "a", 1)
	mustHold(t, s, 1, 0)
}

func TestClearRemovesEverythingFromEveryShard(t *testing.T) {
	const n = 3000
	s := newStore[int, int](t, local.Options{MaxEntries: n})
	for i := range n {
		s.Add(i, i, 2, hour)
	}
	mustHold(t, s, n, 2*n)
	s.Clear()
	mustHold(t, s, 0, 0)
	for i := range n {
		mustMiss(t, s, i)
	}
	s.Add(1, 11, 1, hour)
	mustHit(t, s, 1, 11)
	mustHold(t, s, 1, 1)
}

func TestEntryWithoutLifetimeIsNotStoredAndTheOldOneGoes(t *testing.T) {
	for _, ttl := range []time.Duration{0, -1, math.MinInt64} {
		t.Run(fmt.Sprint(ttl), func(t *testing.T) {
			s := newStore[string, int](t, local.Options{})
			s.Add("k", 1, 4, hour)
			dead := local.Lifetime{TTL: ttl, MaxAge: time.Hour, Slides: true}
			if evicted := s.Add("k", 2, 4, dead); len(evicted) != 0 {
				t.Errorf("an entry that was not stored evicted %v", evicted)
			}
			mustMiss(t, s, "k")
			mustHold(t, s, 0, 0)
		})
	}
}

func TestZeroMaxEntriesIsTheDefault(t *testing.T) {
	s := newStore[int, int](t, local.Options{})
	for i := range local.DefaultMaxEntries + 100 {
		s.Add(i, i, 0, hour)
	}
	if got := s.Len(); got != local.DefaultMaxEntries {
		t.Errorf("a store of the zero Options holds %d entries, want %d", got, local.DefaultMaxEntries)
	}
}

func TestNewNamesEveryInvalidOption(t *testing.T) {
	bad := local.Options{MaxEntries: -1, MaxCost: -1, TTL: -1, Policy: 2}
	s, err := local.New[string, int](bad)
	if s != nil || err == nil {
		t.Fatalf("New(%+v) = %v, %v, want an error alone", bad, s, err)
	}
	for _, field := range []string{"MaxEntries", "MaxCost", "TTL", "Policy"} {
		if !strings.Contains(err.Error(), "local: "+field+" ") {
			t.Errorf("the error does not name %s:\n%v", field, err)
		}
	}
	if err := (local.Options{}).Validate(); err != nil {
		t.Errorf("the zero Options are invalid: %v", err)
	}
	err = local.Options{MaxEntries: 1, MaxCost: -1}.Validate()
	if err == nil || strings.Contains(err.Error(), "MaxEntries") {
		t.Errorf("Validate does not blame MaxCost alone: %v", err)
	}
}

func TestStatsTellOutcomesApart(t *testing.T) {
	s := newStore[string, int](t, local.Options{MaxEntries: 2})
	s.Add("a", 1, 1, hour)
	s.Add("b", 2, 2, hour)
	s.Add("c", 3, 3, hour)             // evicts a
	s.Add("c", 4, 4, hour)             // replaces
	s.Get("a")                         // a miss
	s.Get("b")                         // a hit
	s.Lookup("c")                      // a hit
	s.Remove("b")                      // neither
	s.Add("d", 5, 1, local.Lifetime{}) // not stored
	s.Get("b")                         // a miss
	s.Get("d")                         // a miss
	s.Remove("never")                  // neither
	want := local.Stats{Entries: 1, Cost: 4, Hits: 2, Misses: 3, Evictions: 1}
	if d := cmp.Diff(want, s.Stats()); d != "" {
		t.Errorf("Stats (-want +got):\n%s", d)
	}
}
