package local

// Stats are counts since the store was made, except Entries and Cost, which are current
// values. The counts are read shard by shard: under load they do not belong to one instant.
type Stats struct {
	Entries   int    // entries in the store, including expired entries still in memory
	Cost      int64  // the sum of the costs of those entries
	Hits      uint64 // Gets that returned a value
	Misses    uint64 // Gets that did not
	Expired   uint64 // entries that a Get found expired
	Evictions uint64 // entries evicted to make room for others
}

// Stats returns the store's counts.
func (s *Store[K, V]) Stats() Stats {
	st := Stats{Entries: s.Len(), Cost: s.cost.Load(), Hits: s.hits.sum()}
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

// Len returns the number of entries, including expired entries that are still in memory.
func (s *Store[K, V]) Len() int { return int(s.entries.Load()) }
