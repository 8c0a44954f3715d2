package local

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newTicked returns a store of several shards whose clock ticks when the test says so.
func newTicked(t *testing.T, o Options) *Store[string, int] {
	t.Helper()
	s, err := New[string, int](o)
	if err != nil {
		t.Fatal(err)
	}
	s.clock.last.Store(int64(time.Minute))
	return s
}

// heat adds k, and reads it until a read needs no lock.
func heat(t *testing.T, s *Store[string, int], life Lifetime) {
	t.Helper()
	s.Add("k", 1, 1, life)
	for range 3 {
		if v, ok := s.Get("k"); !ok || v != 1 {
			t.Fatalf("Get = %v, %v", v, ok)
		}
	}
}

// TestAHotKeyTakesNoLock: the test holds the lock.
func TestAHotKeyTakesNoLock(t *testing.T) {
	s := newTicked(t, Options{})
	heat(t, s, Lifetime{TTL: time.Hour, Slides: true, RenewEvery: time.Minute})
	sh := s.shard(s.hash("k"))
	sh.mu.Lock()
	var read sync.WaitGroup
	for range 4 {
		read.Go(func() {
			for range 100 {
				if v, due, ok := s.Lookup("k"); !ok || due || v != 1 {
					t.Errorf("Lookup = %v, %v, %v", v, due, ok)
				}
			}
		})
	}
	read.Wait() // for ever if a read waits for the lock
	sh.mu.Unlock()
	if got := s.Stats().Hits; got != 403 {
		t.Errorf("%d hits counted, want 403", got)
	}
}

// TestTheFirstReadsOfATickTakeTheLock: they move the entry, restart its TTL, and report what
// is due.
func TestTheFirstReadsOfATickTakeTheLock(t *testing.T) {
	s := newTicked(t, Options{})
	heat(t, s, Lifetime{TTL: time.Hour, Slides: true, RenewEvery: time.Second, RenewIn: time.Second})
	e, _ := s.shard(s.hash("k")).lru.Peek("k")
	was := e.expires
	s.clock.last.Add(int64(2 * time.Second))
	if _, due, ok := s.Lookup("k"); !due || !ok {
		t.Errorf("due %v, ok %v", due, ok)
	}
	if got := time.Duration(e.expires - was); got != 2*time.Second {
		t.Errorf("the TTL was restarted %v later, want 2s", got)
	}
}

// TestAnEntryNearItsEndTakesTheLock, because it is judged by the exact time.
func TestAnEntryNearItsEndTakesTheLock(t *testing.T) {
	s := newTicked(t, Options{})
	s.Add("k", 1, 1, Lifetime{TTL: time.Hour})
	e, _ := s.shard(s.hash("k")).lru.Peek("k")
	s.clock.last.Store(e.expires - margin)
	for range 5 {
		if _, ok := s.Get("k"); !ok {
			t.Fatal("the entry is gone")
		}
	}
	if s.hot.get("k", s.hash("k"), s.clock.recent()) != nil {
		t.Error("reads take no lock")
	}
}

func TestAnEntryThatLeavesIsNoLongerHot(t *testing.T) {
	leave := map[string]func(*Store[string, int]){
		"Remove":               func(s *Store[string, int]) { s.Remove("k") },
		"Clear":                func(s *Store[string, int]) { s.Clear() },
		"Add":                  func(s *Store[string, int]) { s.Add("k", 2, 1, Lifetime{TTL: time.Hour}) },
		"Add without lifetime": func(s *Store[string, int]) { s.Add("k", 2, 1, Lifetime{}) },
		"eviction":             func(s *Store[string, int]) { s.Add("other", 3, 1000, Lifetime{TTL: time.Hour}) },
	}
	for name, leave := range leave {
		for _, policy := range []Policy{LRU, TwoQueue} {
			t.Run(fmt.Sprint(name, policy), func(t *testing.T) {
				s := newTicked(t, Options{MaxCost: 1000, Policy: policy})
				heat(t, s, Lifetime{TTL: time.Hour})
				leave(s)
				if v, ok := s.Get("k"); ok != (name == "Add") || v == 1 {
					t.Errorf("Get = %v, %v", v, ok)
				}
				for i := range s.hot {
					if e := s.hot[i].Load(); e != nil {
						t.Errorf("the table holds %v", e.value)
					}
				}
			})
		}
	}
}

// TestTwoHotKeysInOnePlace: both are found, one of them with the lock.
func TestTwoHotKeysInOnePlace(t *testing.T) {
	s := newTicked(t, Options{})
	s.hot = s.hot[:1]
	s.Add("other", 2, 1, Lifetime{TTL: time.Hour})
	heat(t, s, Lifetime{TTL: time.Hour})
	for range 5 {
		one, _ := s.Get("k")
		two, _ := s.Get("other")
		if one != 1 || two != 2 {
			t.Fatalf("got %d and %d, want 1 and 2", one, two)
		}
	}
	s.Remove("k")
	if _, ok := s.Get("k"); ok {
		t.Error("a removed entry is found")
	}
}

// TestAHotKeyOutlivesManyAdds of one tick, although its reads without a lock do not move
// it.
func TestAHotKeyOutlivesManyAdds(t *testing.T) {
	const maxEntries = 2000
	s := newTicked(t, Options{MaxEntries: maxEntries})
	heat(t, s, Lifetime{TTL: time.Hour})
	for i := range 20 * maxEntries {
		s.Add(strconv.Itoa(i), i, 1, Lifetime{TTL: time.Hour})
		if _, ok := s.Get("k"); !ok {
			t.Fatalf("the key that is read all the time is gone after %d Adds", i+1)
		}
	}
}

// TestReadersOfAHotKeySeeEachChange: a read that begins after an Add or a Remove has returned
// never gets what was there before.
func TestReadersOfAHotKeySeeEachChange(t *testing.T) {
	for _, policy := range []Policy{LRU, TwoQueue} {
		readersSeeEachChange(t, newTicked(t, Options{Policy: policy}))
	}
}

func readersSeeEachChange(t *testing.T, s *Store[string, int]) {
	var current, stop atomic.Int64
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for stop.Load() == 0 {
				least := current.Load()
				if v, ok := s.Get("k"); ok && int64(v) < least {
					t.Errorf("read %d after %d was removed or replaced", v, least-1)
					return
				}
				runtime.Gosched() // or the writer would wait for a processor at each lock
			}
		})
	}
	for i := range 20_000 {
		s.Add("k", i, 1, Lifetime{TTL: time.Hour})
		current.Store(int64(i))
		for range 3 {
			s.Get("k")
		}
		if i%2 == 0 {
			s.Remove("k")
			current.Store(int64(i) + 1)
		}
	}
	stop.Store(1)
	readers.Wait()
}
