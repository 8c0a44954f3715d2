package local_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nearside-go/nearside/local"
)

// evicted is short for the entries that a store of ints under strings evicts.
type evicted = []local.Evicted[string, int]

func mustEvict(t testing.TB, want, got evicted) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("evicted (-want +got):\n%s", d)
	}
}

func TestLeastRecentlyUsedMakesWay(t *testing.T) {
	s := newStore[string, int](t, local.Options{MaxEntries: 3})
	for i, k := range []string{"a", "b", "c"} {
		mustEvict(t, nil, s.Add(k, i, 1, hour))
	}
	s.Get("a")                                                           // b, c, a
	mustEvict(t, evicted{{Key: "b", Value: 1}}, s.Add("d", 3, 1, hour))  // c, a, d
	mustEvict(t, nil, s.Add("c", 20, 1, hour))                           // a, d, c
	s.Lookup("a")                                                        // d, c, a
	mustEvict(t, evicted{{Key: "d", Value: 3}}, s.Add("e", 4, 1, hour))  // c, a, e
	s.Get("gone")                                                        // moves nothing
	mustEvict(t, evicted{{Key: "c", Value: 20}}, s.Add("f", 5, 1, hour)) // a, e, f
	s.Remove("e")                                                        // a, f
	mustEvict(t, nil, s.Add("g", 6, 1, hour))                            // a, f, g
	mustEvict(t, evicted{{Key: "a", Value: 0}}, s.Add("h", 7, 1, hour))  // f, g, h
	mustHold(t, s, 3, 3)
}

func TestStoreOfOneEntryKeepsTheLatest(t *testing.T) {
	s := newStore[string, int](t, local.Options{MaxEntries: 1})
	mustEvict(t, nil, s.Add("a", 1, 1, hour))
	mustEvict(t, evicted{{Key: "a", Value: 1}}, s.Add("b", 2, 1, hour))
	mustEvict(t, nil, s.Add("b", 3, 1, hour))
	mustHit(t, s, "b", 3)
	mustHold(t, s, 1, 1)
}

func TestMaxCostMakesAsMuchRoomAsItNeeds(t *testing.T) {
	// One shard: the order of eviction is the order of use.
	s := newStore[string, int](t, local.Options{MaxCost: 10, MaxEntries: 100})
	s.Add("a", 1, 3, hour)
	s.Add("b", 2, 3, hour)
	mustEvict(t, nil, s.Add("c", 3, 4, hour))
	mustHold(t, s, 3, 10)
	mustEvict(t, evicted{{Key: "a", Value: 1}, {Key: "b", Value: 2}}, s.Add("d", 4, 6, hour))
	mustHold(t, s, 2, 10)
	// An entry that grows in its place spares itself.
	mustEvict(t, evicted{{Key: "d", Value: 4}}, s.Add("c", 30, 5, hour))
	mustHit(t, s, "c", 30)
	mustHold(t, s, 1, 5)
	mustEvict(t, evicted{{Key: "c", Value: 30}}, s.Add("e", 5, 10, hour))
	mustHold(t, s, 1, 10)
}

func TestEntryAboveMaxCostIsNotStoredAndTheOldOneGoes(t *testing.T) {
	s := newStore[string, int](t, local.Options{MaxCost: 10})
	s.Add("k", 1, 4, hour)
	s.Add("other", 2, 4, hour)
	mustEvict(t, nil, s.Add("k", 3, 11, hour))
	mustMiss(t, s, "k")
	mustHit(t, s, "other", 2)
	mustHold(t, s, 1, 4)
}

// The shard that a key falls in is random, so these run over stores of several
// seeds, of one to many shards, and of both policies.
func eachSize(t *testing.T, test func(t *testing.T, o local.Options)) {
	for _, n := range []int{1, 2, 511, 512, 1000, 1024, 5000} {
		for range 3 {
			t.Run(fmt.Sprint(n), func(t *testing.T) { test(t, local.Options{MaxEntries: n}) })
			t.Run(fmt.Sprint(n, "-TwoQueue"), func(t *testing.T) {
				test(t, local.Options{MaxEntries: n, Policy: local.TwoQueue})
			})
		}
	}
}

func TestNothingIsEvictedBeforeMaxEntries(t *testing.T) {
	eachSize(t, func(t *testing.T, o local.Options) {
		s, n := newStore[int, int](t, o), o.MaxEntries
		for i := range n {
			if evicted := s.Add(i, i, 1, hour); len(evicted) != 0 {
				t.Fatalf("entry %d of %d evicted %v", i+1, n, evicted)
			}
		}
		for i := range n {
			mustHit(t, s, i, i)
		}
		mustHold(t, s, n, int64(n))
	})
}

func TestMaxEntriesHoldsAndEachEvictedEntryIsReturnedOnce(t *testing.T) {
	eachSize(t, func(t *testing.T, o local.Options) {
		s, n := newStore[int, int](t, o), o.MaxEntries
		gone := make(map[int]bool)
		for i := range 2*n + 10 {
			for _, e := range s.Add(i, 2*i, 1, hour) {
				if e.Value != 2*e.Key || gone[e.Key] || e.Key == i {
					t.Fatalf("adding %d evicted %+v, returned before: %v", i, e, gone[e.Key])
				}
				gone[e.Key] = true
			}
			if got := s.Len(); got != min(i+1, n) {
				t.Fatalf("after %d entries the store holds %d, limit %d", i+1, got, n)
			}
		}
		for i := range 2*n + 10 {
			if _, ok := s.Get(i); ok == gone[i] {
				t.Fatalf("entry %d: found %v, returned as evicted %v", i, ok, gone[i])
			}
		}
		if got := s.Stats().Evictions; got != uint64(len(gone)) {
			t.Errorf("Stats count %d evictions, %d were returned", got, len(gone))
		}
	})
}

func TestMaxCostHoldsAcrossShards(t *testing.T) {
	eachSize(t, func(t *testing.T, o local.Options) {
		const maxCost = 300
		o.MaxCost = maxCost
		s, n := newStore[int, int64](t, o), o.MaxEntries
		held := make(map[int]int64)
		for i := range 2000 {
			cost := int64(i*7%90) + 1
			if i%50 == 0 {
				cost = maxCost // needs the whole store, all shards of it
			}
			held[i] = cost
			for _, e := range s.Add(i, cost, cost, hour) {
				if held[e.Key] != e.Value || e.Key == i {
					t.Fatalf("adding %d evicted %+v, want an older entry that the store holds", i, e)
				}
				delete(held, e.Key)
			}
			var sum int64
			for _, c := range held {
				sum += c
			}
			if sum > maxCost || len(held) > n {
				t.Fatalf("the store holds %d entries of cost %d, limits %d and %d", len(held), sum, n, maxCost)
			}
			mustHold(t, s, len(held), sum)
		}
		for k, cost := range held {
			mustHit(t, s, k, cost)
		}
	})
}
