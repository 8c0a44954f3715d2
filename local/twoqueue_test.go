package local_test

import (
	"strconv"
	"testing"

	"github.com/nearside-go/nearside/local"
)

// newTwoQueue returns a store of one shard with room for 40 entries, of which the queue of the
// entries that were added once holds two.
func newTwoQueue(t *testing.T) *local.Store[string, int] {
	t.Helper()
	s := newStore[string, int](t, local.Options{MaxEntries: 40, Policy: local.TwoQueue})
	scan(s, "first", 40)
	return s
}

// scan adds n keys that were never added before, and returns what that evicted.
func scan(s *local.Store[string, int], name string, n int) (out evicted) {
	for i := range n {
		out = append(out, s.Add(name+strconv.Itoa(i), i, 1, hour)...)
	}
	return out
}

func TestTwoQueueEvictsInTheOrderOfTheFirstAdds(t *testing.T) {
	s := newTwoQueue(t)
	for range 3 {
		mustHit(t, s, "first0", 0) // moves nothing
	}
	mustEvict(t, evicted{{Key: "first0", Value: 0}}, s.Add("a", 1, 1, hour))
	mustEvict(t, evicted{{Key: "first1", Value: 1}}, s.Add("b", 2, 1, hour))
	mustHold(t, s, 40, 40)
}

func TestTwoQueueForgetsWhatLeftLongAgo(t *testing.T) {
	s := newTwoQueue(t)
	s.Add("k", 1, 1, hour)
	scan(s, "other", 40+20)
	mustMiss(t, s, "k")
	s.Add("k", 2, 1, hour)
	scan(s, "scan", 40)
	mustMiss(t, s, "k")
}

// TestTwoQueueReplacesInPlace: an entry stays in its queue, and there is one of each key.
func TestTwoQueueReplacesInPlace(t *testing.T) {
	s := newTwoQueue(t)
	s.Remove("first39")
	s.Add("first39", 1, 1, hour)
	for i := range 5 {
		s.Add("first39", i, 1, hour)
		s.Add("first38", i, 1, hour)
	}
	mustHold(t, s, 40, 40)
	scan(s, "scan", 100)
	mustHit(t, s, "first39", 4)
	mustMiss(t, s, "first38")
	s.Clear()
	mustHold(t, s, 0, 0)
	mustMiss(t, s, "first39")
}

// TestTwoQueueEvictsTheLeastRecentlyUsed of the entries that came back, where all have.
func TestTwoQueueEvictsTheLeastRecentlyUsed(t *testing.T) {
	s := newTwoQueue(t)
	for i := range 40 {
		key := "first" + strconv.Itoa(i)
		s.Remove(key)
		s.Add(key, i, 1, hour)
	}
	s.Get("first0")
	mustEvict(t, nil, s.Add("first1", 10, 1, hour))
	mustEvict(t, evicted{{Key: "first2", Value: 2}}, s.Add("a", 1, 1, hour))
	mustEvict(t, evicted{{Key: "first3", Value: 3}}, s.Add("b", 1, 1, hour))
	mustEvict(t, evicted{{Key: "a", Value: 1}}, s.Add("c", 1, 1, hour)) // the queue holds two
	mustHit(t, s, "first0", 0)
}

func TestTwoQueueOfOneEntryKeepsTheLatest(t *testing.T) {
	s := newStore[string, int](t, local.Options{MaxEntries: 1, Policy: local.TwoQueue})
	mustEvict(t, nil, s.Add("a", 1, 1, hour))
	mustEvict(t, evicted{{Key: "a", Value: 1}}, s.Add("b", 2, 1, hour))
	mustEvict(t, evicted{{Key: "b", Value: 2}}, s.Add("a", 3, 1, hour))
	mustHit(t, s, "a", 3)
	mustHold(t, s, 1, 1)
}

// TestTwoQueueMakesRoomForCosts: an entry may need all of it, from both queues.
func TestTwoQueueMakesRoomForCosts(t *testing.T) {
	s := newStore[string, int](t, local.Options{MaxEntries: 100, MaxCost: 40, Policy: local.TwoQueue})
	scan(s, "first", 40)
	for _, key := range []string{"first0", "first1"} {
		s.Remove(key)
		s.Add(key, 1, 1, hour)
	}
	if got := len(s.Add("large", 1, 40, hour)); got != 40 {
		t.Errorf("%d entries were evicted, want all 40", got)
	}
	mustHit(t, s, "large", 1)
	mustHold(t, s, 1, 40)
}

// TestTwoQueueKeepsMostOfALoop over somewhat more keys than there is room for, none of which an
// LRU keeps.
func TestTwoQueueKeepsMostOfALoop(t *testing.T) {
	const maxEntries, keys, rounds = 400, 440, 20
	s := newStore[int, int](t, local.Options{MaxEntries: maxEntries, Policy: local.TwoQueue})
	hits := 0
	for i := range rounds * keys {
		if _, ok := s.Get(i % keys); ok {
			hits++
		} else {
			s.Add(i%keys, i, 1, hour)
		}
	}
	if hits < rounds*keys/2 {
		t.Errorf("%d hits of %d reads, want more than half", hits, rounds*keys)
	}
}

// TestAScanDisplacesNoOtherEntry in a store of several shards.
func TestAScanDisplacesNoOtherEntry(t *testing.T) {
	const maxEntries, hot = 4000, 1000
	for policy, want := range map[local.Policy]int{local.LRU: 0, local.TwoQueue: hot} {
		s := newStore[string, int](t, local.Options{MaxEntries: maxEntries, Policy: policy})
		scan(s, "hot", hot)
		for i := range hot {
			s.Remove("hot" + strconv.Itoa(i))
			s.Add("hot"+strconv.Itoa(i), i, 1, hour)
		}
		scan(s, "scan", 3*maxEntries)
		found := 0
		for i := range hot {
			if _, ok := s.Get("hot" + strconv.Itoa(i)); ok {
				found++
			}
		}
		if found != want {
			t.Errorf("policy %d: %d of %d entries outlived the scan, want %d", policy, found, hot, want)
		}
	}
}
