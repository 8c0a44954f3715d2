package local

// Stats are counts since the store was made, but for Entries and Cost, which
// are of the moment. They are read shard by shard: under load they do not add
// up to one instant.
type Stats struct {
	Entries   int    // in the store, expired ones included until they are met
	Cost      int64  // of those entries
	Hits      uint64 // Gets that returned a value
	Misses    uint64 // Gets that did not
	Expired   uint64 // entries that a Get found expired
	Evictions uint64 // entries that made way for others
}

// Stats returns the store's counts.
func (s *Store[K, V]) Stats() Stats {
	st := Stats{Entries: s.Len(), Cost: s.cost.Load()}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		st.Hits += sh.hits
		st.Misses += sh.misses
		st.Expired += sh.expired
		st.Evictions += sh.evicted
		sh.mu.Unlock()
	}
	return st
}

// Len returns the number of entries, expired ones included until they are met.
func (s *Store[K, V]) Len() int { return int(s.entries.Load()) }
