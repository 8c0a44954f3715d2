package local

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// hot finds the entries that are read again and again within one tick of the clock: 10 ms, or
// less while many entries are added (Store.noteAdded). Such a read takes no lock, and writes to
// no memory that another core reads: for a read later in the same tick the lock would only
// confirm what the earlier one has found. The entry is the most recently used one but for those
// of this tick, its TTL counts from the tick, and its renewal was reported.
//
// Each entry has one place, which it may have to leave to another entry. The reads of an
// entry that has lost its place take the lock.
//
// A store with one shard has no such table. There the order of use is exact.
type hot[K comparable, V any] []atomic.Pointer[entry[K, V]]

// maxHot bounds the table to 128 KiB.
const maxHot = 16384

func newHot[K comparable, V any](maxEntries int) hot[K, V] {
	return make(hot[K, V], 1<<bits.Len(uint(min(maxEntries, maxHot)-1)))
}

// place returns the place of the keys with a hash. Its bits are not those that choose a shard.
func (h hot[K, V]) place(hash uint64) *atomic.Pointer[entry[K, V]] {
	return &h[(hash>>32)&uint64(len(h)-1)]
}

// get returns the entry of key if it needs no lock in the tick that began at now.
func (h hot[K, V]) get(key K, hash uint64, now int64) *entry[K, V] {
	if len(h) == 0 {
		return nil
	}
	e := h.place(hash).Load()
	if e == nil || e.hotAt.Load() != now || e.key != key {
		return nil
	}
	return e
}

// heatLocked notes a read of e under the lock of its shard, at now. From the second read in
// one tick on, reads of e need no lock until the tick ends.
func (h hot[K, V]) heatLocked(e *entry[K, V], hash uint64, now int64) {
	if len(h) == 0 {
		return
	}
	if at := e.hotAt.Load(); at != now && at != -now {
		e.hotAt.Store(-now) // the first read
		return
	}
	if place := h.place(hash); place.Load() != e {
		place.Store(e)
	}
	e.hotAt.Store(now)
}

// coolLocked ends the reads of e without a lock, before e leaves its shard. A read that comes
// later waits for the lock.
func (h hot[K, V]) coolLocked(e *entry[K, V], hash uint64) {
	if e.hotAt.Load() != 0 {
		h.place(hash).CompareAndSwap(e, nil)
	}
}

// hits counts the reads without a lock. Goroutines seldom share a counter, so that cores
// seldom share a cache line.
type hits [64]struct {
	n atomic.Uint64
	_ [56]byte
}

// add counts a hit. The address of a variable on its stack chooses the goroutine's counter.
func (h *hits) add() {
	var here byte
	at := uint64(uintptr(unsafe.Pointer(&here)))
	h[at*0x9E3779B97F4A7C15>>58].n.Add(1)
}

func (h *hits) sum() (n uint64) {
	for i := range h {
		n += h[i].n.Load()
	}
	return n
}
