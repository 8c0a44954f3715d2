package local

import (
	"hash/maphash"
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Store is a sharded LRU with a lifetime for each entry. All methods are safe for
// concurrent use. The store returns values as they were added: callers share the memory
// that a value points to. A key that does not equal itself, such as a NaN, would never be
// found again, so the store does not store it.
type Store[K comparable, V any] struct {
	clock  clock
	seed   maphash.Seed
	mask   uint64
	shards []shard[K, V]
	hot    hot[K, V]
	limits Options
	_      [64]byte // keeps what each Add writes off the cache line of what each read reads

	entries atomic.Int64
	cost    atomic.Int64
	added   atomic.Uint64 // under keys that had no entry

	_    [64]byte // the same for the hits
	hits hits     // those without a lock
}

// Evicted is an entry that was evicted to make room for another.
type Evicted[K comparable, V any] struct {
	Key   K
	Value V
}

type shard[K comparable, V any] struct {
	mu      sync.Mutex // guards all below
	lru     *queue[K, V]
	once    *queue[K, V] // of TwoQueue, or nil
	left    departures   // of TwoQueue
	hits    uint64
	misses  uint64
	expired uint64
	evicted uint64
	_       [64]byte // keeps two shards off one cache line
}

// entry is a value with its lifetime. Its times are those of Store.clock.
type entry[K comparable, V any] struct {
	key     K
	value   V
	hotAt   atomic.Int64 // the tick of the last read with the lock: as it is if reads need none, or negative
	cost    int64
	expires int64
	window  int64 // the entry is kept from expires on for as long as this
	end     int64 // the bound of sliding
	slide   int64 // a read sets expires to this long from now; 0 for a fixed TTL
	renew   int64 // the time at which the entry is next due; math.MaxInt64 for never
	period  int64 // the time from one renewal to the next
}

// New returns an empty store, or every problem of the options, joined.
func New[K comparable, V any](o Options) (*Store[K, V], error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = DefaultMaxEntries
	}
	n := shardCount(o.MaxEntries)
	s := &Store[K, V]{
		clock:  newClock(),
		seed:   maphash.MakeSeed(),
		mask:   uint64(n - 1),
		shards: make([]shard[K, V], n),
		limits: o,
	}
	if n > 1 {
		s.hot = newHot[K, V](o.MaxEntries)
	}
	for i := range s.shards {
		s.shards[i].lru = newQueue[K, V]()
		if o.Policy == TwoQueue {
			s.shards[i].once = newQueue[K, V]()
		}
	}
	return s, nil
}

// shardCount returns a power of two: enough shards that cores seldom use the same one, and
// few enough that a shard holds some hundred entries. With fewer entries the eviction order
// of a shard would be far from the order of the whole store.
func shardCount(maxEntries int) int {
	const perShard = 256
	most := 1 << bits.Len(uint(8*runtime.GOMAXPROCS(0)-1))
	n := 1
	for n < most && maxEntries/(2*n) >= perShard {
		n *= 2
	}
	return n
}

// Get returns the value of key, or false if the store has no live entry of key.
func (s *Store[K, V]) Get(key K) (V, bool) {
	value, _, ok := s.Lookup(key)
	return value, ok
}

// Lookup is Get that also reports whether the entry is due for renewal by its
// Lifetime.RenewEvery. Of the callers that look an entry up in one period, one gets due.
func (s *Store[K, V]) Lookup(key K) (value V, due, ok bool) {
	now, hash := s.clock.recent(), s.hash(key)
	if e := s.hot.get(key, hash, now); e != nil {
		s.hits.add()
		return e.value, false, true
	}
	sh := s.shard(hash)
	sh.mu.Lock()
	e, ok := sh.lru.Get(key)
	if !ok && sh.once != nil {
		e, ok = sh.once.Peek(key)
	}
	if !ok {
		sh.misses++
		sh.mu.Unlock()
		return value, false, false
	}
	if now+margin < e.expires {
		s.hot.heatLocked(e, hash, now)
	} else {
		now = s.clock.exact()
	}
	if now >= e.expires {
		if !s.stale(e, now) {
			s.removeLocked(sh, e, hash)
			sh.expired++
		}
		sh.misses++
		sh.mu.Unlock()
		return value, false, false
	}
	if e.slide > 0 {
		e.expires = min(now+e.slide, e.end)
	}
	if now >= e.renew {
		e.renew = now + e.period
		due = true
	}
	sh.hits++
	value = e.value
	sh.mu.Unlock()
	return value, due, true
}

// Peek is Get without side effects: Peek does not extend the entry's life, does not make
// the entry more recently used, and is not counted.
func (s *Store[K, V]) Peek(key K) (value V, ok bool) {
	sh := s.shard(s.hash(key))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok := sh.peekLocked(key)
	if !ok || s.clock.exact() >= e.expires {
		return value, false
	}
	return e.value, true
}

// Stale is an entry in its Window.
type Stale[V any] struct {
	Value V
	For   time.Duration // since the end of its TTL
	Left  time.Duration // until the end of its Window
}

// Stale returns the entry of key if the entry is in its Window. It has no side effects.
func (s *Store[K, V]) Stale(key K) (stale Stale[V], ok bool) {
	sh := s.shard(s.hash(key))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok := sh.peekLocked(key)
	if !ok {
		return stale, false
	}
	now := s.clock.exact()
	if now < e.expires || !s.stale(e, now) {
		return stale, false
	}
	return Stale[V]{e.value, time.Duration(now - e.expires), time.Duration(e.expires + e.window - now)}, true
}

// stale reports whether an entry that has expired is in its window.
func (s *Store[K, V]) stale(e *entry[K, V], now int64) bool {
	return now < e.expires+e.window && (s.limits.TTL == 0 || now < e.end)
}

// Add stores value under key, in place of an existing entry, and returns the entries that
// were evicted to make room. Concurrent Adds can exceed a limit by one entry each.
//
// Add stores nothing, and removes an existing entry, if the new entry costs more than
// MaxCost or its lifetime has ended. A negative cost counts as zero. A key that does
// not equal itself is not stored.
func (s *Store[K, V]) Add(key K, value V, cost int64, life Lifetime) []Evicted[K, V] {
	if key != key {
		return nil
	}
	cost = max(cost, 0)
	if nanos(life.TTL)+nanos(life.Window) <= 0 || (s.limits.MaxCost > 0 && cost > s.limits.MaxCost) {
		s.Remove(key)
		return nil
	}
	e, hash := s.newEntry(key, value, cost, life), s.hash(key)
	sh := s.shard(hash)
	sh.mu.Lock()
	if old, ok := sh.peekLocked(key); ok {
		s.hot.coolLocked(old, hash)
		e.key = old.key // as the LRU does, so that one copy of the key is kept
		s.cost.Add(cost - old.cost)
	} else {
		s.cost.Add(cost)
		s.noteAdded(s.entries.Add(1))
	}
	sh.placeLocked(key, hash).Add(key, e)
	sh.mu.Unlock()
	return s.makeRoom(key, hash)
}

// noteAdded ends the tick early after each 3 to 6 % of the entries that are added. Reads without
// a lock move no entry, so in a tick with many Adds an entry that is read all the time would
// become the oldest, and be evicted.
func (s *Store[K, V]) noteAdded(entries int64) {
	each := uint64(1) << bits.Len64(uint64(entries)>>5)
	if s.added.Add(1)%each == 0 && len(s.hot) > 0 {
		s.clock.tickNow()
	}
}

func (s *Store[K, V]) newEntry(key K, value V, cost int64, life Lifetime) *entry[K, V] {
	now := s.clock.exact()
	e := &entry[K, V]{key: key, value: value, cost: cost, window: nanos(life.Window), end: math.MaxInt64, renew: math.MaxInt64}
	if life.MaxAge > 0 {
		e.end = now + nanos(life.MaxAge)
	}
	if s.limits.TTL > 0 {
		e.end = min(e.end, now+nanos(s.limits.TTL))
	}
	e.expires = min(now+nanos(life.TTL), e.end)
	if life.Slides {
		e.slide = nanos(life.TTL)
	}
	if life.RenewEvery > 0 {
		e.period = nanos(life.RenewEvery)
		e.renew = now + nanos(life.RenewIn)
	}
	return e
}

// makeRoom evicts until the limits hold again: first the oldest entries of key's shard,
// then those of the next shards. It never evicts key itself, and holds one shard's lock at
// a time.
func (s *Store[K, V]) makeRoom(key K, hash uint64) []Evicted[K, V] {
	var evicted []Evicted[K, V]
	for i := uint64(0); i <= s.mask && s.full(); {
		sh := s.shard(hash + i)
		k, v, ok := s.evictOldest(sh, key)
		if !ok {
			i++
			continue
		}
		evicted = append(evicted, Evicted[K, V]{k, v})
	}
	return evicted
}

func (s *Store[K, V]) full() bool {
	return s.entries.Load() > int64(s.limits.MaxEntries) ||
		// A sum beyond the largest int64 is negative; as a uint64 it is the true sum.
		(s.limits.MaxCost > 0 && uint64(s.cost.Load()) > uint64(s.limits.MaxCost))
}

func (s *Store[K, V]) evictOldest(sh *shard[K, V], spared K) (key K, value V, ok bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, from := sh.evictLocked(spared)
	if e == nil {
		return key, value, false
	}
	hash := s.hash(e.key)
	if from == sh.once {
		sh.noteLocked(hash)
	}
	s.forgetLocked(e, hash)
	sh.evicted++
	return e.key, e.value, true
}

// Remove removes the entry of key, and reports whether there was an entry, alive or
// expired.
func (s *Store[K, V]) Remove(key K) bool {
	hash := s.hash(key)
	sh := s.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok := sh.peekLocked(key)
	if ok {
		s.removeLocked(sh, e, hash)
	}
	return ok
}

// Clear removes every entry that was in the store when Clear was called.
func (s *Store[K, V]) Clear() {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for _, q := range []*queue[K, V]{sh.once, sh.lru} {
			for q != nil && q.Len() > 0 {
				_, e, _ := q.RemoveOldest()
				s.forgetLocked(e, s.hash(e.key))
			}
		}
		sh.mu.Unlock()
	}
}

func (s *Store[K, V]) removeLocked(sh *shard[K, V], e *entry[K, V], hash uint64) {
	if !sh.lru.Remove(e.key) {
		sh.once.Remove(e.key)
	}
	sh.noteLocked(hash)
	s.forgetLocked(e, hash)
}

// forgetLocked ends the reads of an entry that has left its shard, and subtracts it from the
// totals.
func (s *Store[K, V]) forgetLocked(e *entry[K, V], hash uint64) {
	s.hot.coolLocked(e, hash)
	s.entries.Add(-1)
	s.cost.Add(-e.cost)
}

func (s *Store[K, V]) hash(key K) uint64 { return maphash.Comparable(s.seed, key) }

func (s *Store[K, V]) shard(hash uint64) *shard[K, V] { return &s.shards[hash&s.mask] }
