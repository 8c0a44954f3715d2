package local

import (
	"math"
	"math/bits"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// TwoQueue is the full version of 2Q by Theodore Johnson and Dennis Shasha ("2Q: A Low Overhead
// High Performance Buffer Management Replacement Algorithm", VLDB 1994). The paper's A1in is
// once, its Am is lru, and its A1out is left. It differs from the paper in two ways.
//
// The paper's Kin is a quarter of the entries. Here it is a twentieth, which had more hits on
// all zipf traces with a capacity of 1,000: see docs/performance.md.
//
// The paper notes the keys that A1in gives up. Here a key is also noted when its entry is
// removed, or has expired, so that the next entry of the key enters the LRU. The keys that the
// LRU gives up are not noted: in a loop over more keys than there is room for, each would come
// back just in time to evict the one that is read next.
const (
	kin  = 20 // once gives up an entry while it holds more than 1/kin of the entries
	kout = 2  // a key is noted until 1/kout as many others were noted as there are entries
)

// queue holds entries in the order of their use, or in the order of their Adds if it is the
// queue once of a shard.
type queue[K comparable, V any] = simplelru.LRU[K, *entry[K, V]]

// newQueue returns a queue without a bound. The store bounds its size, over all shards: see
// Store.makeRoom.
func newQueue[K comparable, V any]() *queue[K, V] {
	q, _ := simplelru.NewLRU[K, *entry[K, V]](math.MaxInt, nil)
	return q
}

// peekLocked returns the entry of key, and moves no entry.
func (sh *shard[K, V]) peekLocked(key K) (*entry[K, V], bool) {
	e, ok := sh.lru.Peek(key)
	if !ok && sh.once != nil {
		return sh.once.Peek(key)
	}
	return e, ok
}

// placeLocked returns the queue for an entry that is added: the one that has an entry of key,
// or the LRU if such an entry has left a short while ago.
func (sh *shard[K, V]) placeLocked(key K, hash uint64) *queue[K, V] {
	switch {
	case sh.once == nil || sh.lru.Contains(key):
		return sh.lru
	case !sh.once.Contains(key) && sh.left.has(hash, sh.lenLocked()):
		return sh.lru
	default:
		return sh.once
	}
}

// evictLocked removes the entry that makes room next, which is never the entry of spared, and
// returns it with its queue.
func (sh *shard[K, V]) evictLocked(spared K) (*entry[K, V], *queue[K, V]) {
	if sh.once == nil {
		return removeOldest(sh.lru, spared), sh.lru
	}
	first, second := sh.lru, sh.once
	if sh.once.Len() > sh.lenLocked()/kin {
		first, second = second, first
	}
	if e := removeOldest(first, spared); e != nil {
		return e, first
	}
	return removeOldest(second, spared), second
}

// removeOldest removes the oldest entry that is not the entry of spared, or returns nil.
func removeOldest[K comparable, V any](q *queue[K, V], spared K) *entry[K, V] {
	if key, _, ok := q.GetOldest(); ok && key == spared {
		if q.Len() == 1 {
			return nil
		}
		q.Get(spared) // readers may have moved all other entries ahead of spared
	}
	_, e, _ := q.RemoveOldest()
	return e
}

// noteLocked notes the key of an entry that was taken out of its queue.
func (sh *shard[K, V]) noteLocked(hash uint64) {
	if sh.once != nil {
		sh.left.add(hash, sh.lenLocked()+1)
	}
}

// lenLocked returns the number of entries of the shard.
func (sh *shard[K, V]) lenLocked() int {
	if sh.once == nil {
		return sh.lru.Len()
	}
	return sh.lru.Len() + sh.once.Len()
}

// departures note the keys that have left a shard, by their hashes. Each hash has one place,
// which it may have to leave to a later one. A place takes 8 bytes, and there are at most twice
// as many places as the shard had entries.
type departures struct {
	places []departure
	count  uint32
}

// departure is a part of a hash, and how many keys had left when its key did.
type departure struct{ tag, count uint32 }

// place returns the place of a hash. Its bits are not those that choose a shard.
func (d *departures) place(hash uint64) *departure {
	return &d.places[(hash>>16)&uint64(len(d.places)-1)]
}

// add notes a key that leaves a shard of so many entries. A shard that has grown forgets the
// others.
func (d *departures) add(hash uint64, entries int) {
	if entries > len(d.places) {
		d.places = make([]departure, 1<<bits.Len(uint(entries)))
	}
	d.count++
	*d.place(hash) = departure{tag: uint32(hash >> 32), count: d.count}
}

// has reports whether a key is noted in a shard that has so many entries.
func (d *departures) has(hash uint64, entries int) bool {
	if len(d.places) == 0 {
		return false
	}
	p := d.place(hash)
	return p.tag == uint32(hash>>32) && d.count-p.count < uint32(entries/kout)
}
