package cache

import "sync/atomic"

// Stats are counts since the Cache was made. LogFollowed, Unconfirmed, AllUnconfirmed,
// Background, LocalEntries and LocalCost are states of the moment. Each call of Get or
// GetOrLoad that ends without an error of its context counts once, as a hit of one tier or as
// a miss; of GetMany and GetOrLoadMany each key does. So the hit ratio is the sum of the five
// fields of hits, divided by that sum and Misses. Loads are what the misses have cost the source:
// callers share a load.
type Stats struct {
	LocalHits          uint64 // answered by the local tier with a value
	LocalNotFoundHits  uint64 // ... with not found
	RemoteHits         uint64 // answered by the remote tier with a value
	RemoteNotFoundHits uint64 // ... with not found
	StaleHits          uint64 // answered by a tier with a stale value, or with a copy that is not trusted any more
	Misses             uint64 // answered by neither

	Loads      uint64 // runs of a loader, over all keys
	LoadErrors uint64 // of these, runs that failed or panicked; ErrNotFound is no failure
	EarlyLoads uint64 // of the runs, those of values that had not ended: see Options.EarlyRevalidation
	LeaseWaits uint64 // waits for the load of another instance

	Fills        uint64 // loaded values that were stored in the tiers
	RefusedFills uint64 // not stored: the lease was gone, or a tombstone stands
	DoomedFills  uint64 // not stored locally: the key or a tag was invalidated during the flight
	EncodeErrors uint64 // not stored: the codec failed
	TagErrors    uint64 // not stored: the tags are over a limit

	OverMaxPayload uint64 // loaded values that were not sent to the remote tier, because of MaxPayload

	LogFollowed           bool   // the log is being read, and delivers the invalidations of other instances
	InvalidationsReceived uint64 // names in the entries of other instances: see Trace.Invalidated
	Gaps                  uint64 // times that the local tier was dropped, because invalidations may have been missed
	Reverts               uint64 // times that the server had lost invalidations of this cache, which were made again
	InvalidLocals         uint64 // local entries that were not served because of a tag, the whole cache or a gap
	InvalidRecords        uint64 // records in the remote tier that were not served because of their key, a tag or the whole cache
	TagLookups            uint64 // records in the remote tier with tags whose positions this instance did not know, and had to look up there

	AbandonedFills uint64 // not stored locally: the load ended after its last caller had left

	Touches        uint64 // TTLs renewed in the remote tier
	CorruptRecords uint64 // records in the remote tier that could not be read

	RemoteTimeouts    uint64 // commands that did not return within their budget
	RemoteUnavailable uint64 // commands that were not sent, because the remote tier does not serve
	RemoteErrors      uint64 // commands that failed in any other way
	Unconfirmed       int    // keys and tags whose invalidation the remote tier has not confirmed
	AllUnconfirmed    bool   // too many keys were unconfirmed: the remote tier is not read until the whole cache is invalidated

	Background int // loads, fills, touches, recordings of tags and attempts to make queued invalidations under way

	LocalEntries   int
	LocalCost      int64
	LocalEvictions uint64
}

type counters struct {
	localNotFoundHits, remoteHits, remoteNotFoundHits, misses                      atomic.Uint64
	loads, loadErrors, earlyLoads, leaseWaits                                      atomic.Uint64
	fills, refusedFills, doomedFills, encodeErrors                                 atomic.Uint64
	touches, corruptRecords                                                        atomic.Uint64
	abandonedFills, overMaxPayload                                                 atomic.Uint64
	lateLocalHits, lateLocalNotFoundHits                                           atomic.Uint64 // of flights' second look-ups
	staleHits, localStaleHits, staleMisses                                         atomic.Uint64 // localStaleHits and staleMisses are of values that stand in for loads
	tagErrors, invalidationsReceived, gaps, reverts, invalidLocals, invalidRecords atomic.Uint64
	tagLookups                                                                     atomic.Uint64
	remoteTimeouts, remoteUnavailable, remoteErrors                                atomic.Uint64
}

// Stats returns the cache's counts.
func (c *Cache[K, V]) Stats() Stats {
	// The local store counts a look-up as a hit before this cache counts the look-up as not
	// found or invalid. Read in the opposite order, the difference cannot be negative.
	n := &c.counters
	notFound, invalid := n.localNotFoundHits.Load(), n.invalidLocals.Load()
	stale, staleMisses := n.localStaleHits.Load(), n.staleMisses.Load()
	l := c.local.Stats()
	unconfirmed, all := c.journal.Count()
	return Stats{
		LocalHits:             l.Hits - notFound - invalid - stale - staleMisses + n.lateLocalHits.Load(),
		LocalNotFoundHits:     notFound + n.lateLocalNotFoundHits.Load(),
		RemoteHits:            n.remoteHits.Load(),
		RemoteNotFoundHits:    n.remoteNotFoundHits.Load(),
		StaleHits:             stale + n.staleHits.Load(),
		Misses:                n.misses.Load(),
		Loads:                 n.loads.Load(),
		LoadErrors:            n.loadErrors.Load(),
		EarlyLoads:            n.earlyLoads.Load(),
		LeaseWaits:            n.leaseWaits.Load(),
		Fills:                 n.fills.Load(),
		RefusedFills:          n.refusedFills.Load(),
		DoomedFills:           n.doomedFills.Load(),
		EncodeErrors:          n.encodeErrors.Load(),
		TagErrors:             n.tagErrors.Load(),
		OverMaxPayload:        n.overMaxPayload.Load(),
		LogFollowed:           c.invalidations.Following(),
		InvalidationsReceived: n.invalidationsReceived.Load(),
		Gaps:                  n.gaps.Load(),
		Reverts:               n.reverts.Load(),
		InvalidLocals:         invalid,
		InvalidRecords:        n.invalidRecords.Load(),
		TagLookups:            n.tagLookups.Load(),
		AbandonedFills:        n.abandonedFills.Load(),
		Touches:               n.touches.Load(),
		CorruptRecords:        n.corruptRecords.Load(),
		RemoteTimeouts:        n.remoteTimeouts.Load(),
		RemoteUnavailable:     n.remoteUnavailable.Load(),
		RemoteErrors:          n.remoteErrors.Load(),
		Unconfirmed:           unconfirmed,
		AllUnconfirmed:        all,
		Background:            int(c.flying.Load()+c.touching.Load()+c.recording.Load()+c.revalidating.Load()) + c.journal.Attempts(),
		LocalEntries:          l.Entries,
		LocalCost:             l.Cost,
		LocalEvictions:        l.Evictions,
	}
}
