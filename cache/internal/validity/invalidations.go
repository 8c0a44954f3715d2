// Package validity tracks what one instance knows to be invalid: by tag, as a whole cache,
// and because invalidations may have been missed.
package validity

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// MaxTags bounds the tags that an instance remembers.
const MaxTags = 10_000

// Invalidations are the invalidations that name no key: those of tags, and those of the
// whole cache, for which the tag "" stands. The zero value is ready for use, and all
// methods are safe for concurrent use.
//
// The two tiers are checked in different ways. A local entry is invalid if one of its tags
// was dropped after the entry was last found valid. Before and after are counted in epochs:
// this instance adds one to its epoch with each drop. So while nothing is dropped, a local
// hit costs one comparison. A record of the remote tier is invalid if one of its tags was
// invalidated at a position of the log behind the record's stamp. The stamp is the position
// up to which the instance that loaded the record knew the log when the load began. An
// invalidation is announced after its write, so that load saw every write that was
// announced up to the stamp.
type Invalidations struct {
	epoch atomic.Uint64 // counts the drops

	mu            sync.RWMutex // guards all below
	minEpoch      uint64       // an entry that was last found valid before this epoch is invalid
	follows       bool         // the log is being read
	completeSince remote.Position
	sessions      int       // how often completeSince was set
	followedAt    time.Time // when completeSince was last set
	tags          map[string]tagState
}

// tagState is the state of one tag.
type tagState struct {
	epoch     uint64          // of the last drop
	droppedAt time.Time       // the time of the last drop
	position  remote.Position // of the last invalidation, if exact
	exact     bool            // no delivered invalidation is later than position
}

// Epoch returns the number of drops so far. A local entry that was found valid at the
// current epoch is valid.
func (k *Invalidations) Epoch() uint64 { return k.epoch.Load() }

// CompleteSince reports whether this instance knows every delivered invalidation after a
// position.
func (k *Invalidations) CompleteSince(position remote.Position) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.follows && !position.Before(k.completeSince)
}

// Following reports whether the log is being read.
func (k *Invalidations) Following() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.follows
}

// Drop invalidates the local entries that carry one of tags.
func (k *Invalidations) Drop(tags ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, now := k.epoch.Load()+1, time.Now()
	for _, tag := range tags {
		if tag == "" {
			k.minEpoch = n
		}
		st := k.tags[tag]
		st.epoch, st.droppedAt = n, now
		k.setLocked(tag, st)
	}
	k.epoch.Store(n)
}

// DropEntries invalidates every local entry. Records of the remote tier stay valid.
func (k *Invalidations) DropEntries() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.minEpoch = k.epoch.Load() + 1
	k.epoch.Store(k.minEpoch)
}

// NotePosition notes that tag was invalidated at a position of the log.
func (k *Invalidations) NotePosition(tag string, at remote.Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.tags[tag]
	st.position, st.exact = st.position.Later(at), true
	k.setLocked(tag, st)
}

func (k *Invalidations) setLocked(tag string, st tagState) {
	if k.tags == nil {
		k.tags = make(map[string]tagState)
	}
	if _, ok := k.tags[tag]; !ok && len(k.tags) >= MaxTags {
		k.forgetLocked()
	}
	k.tags[tag] = st
}

// forgetLocked forgets half of the tags: first the tags that were never dropped, then those
// with the oldest drops. Entries that a forgotten drop invalidates become invalid all
// together, and so do records from before its position, until the remote tier is asked.
func (k *Invalidations) forgetLocked() {
	tags := slices.SortedFunc(maps.Keys(k.tags), func(a, b string) int {
		return cmp.Compare(k.tags[a].epoch, k.tags[b].epoch)
	})
	for _, tag := range tags[:len(tags)/2] {
		if tag == "" {
			continue
		}
		st := k.tags[tag]
		k.minEpoch, k.completeSince = max(k.minEpoch, st.epoch), k.completeSince.Later(st.position)
		if st.droppedAt.After(k.followedAt) {
			k.followedAt = st.droppedAt
		}
		delete(k.tags, tag)
	}
}

// Follow notes that every entry of the log after a position will be delivered. If entries
// before the position may have been missed, or Follow is called for the first time, every
// local entry becomes invalid. Follow reports whether the entries became invalid, and
// whether this was the first call.
func (k *Invalidations) Follow(after remote.Position, complete bool) (dropped, first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.follows = true
	if complete && k.sessions > 0 {
		return false, false
	}
	k.sessions++
	k.followedAt = time.Now()
	k.completeSince = after
	for tag, st := range k.tags {
		// Follow may be called after entries behind the position were delivered.
		if st.exact = st.exact && after.Before(st.position); !st.exact {
			delete(k.tags, tag)
		}
	}
	k.minEpoch = k.epoch.Load() + 1
	k.epoch.Store(k.minEpoch)
	return true, k.sessions == 1
}

// Unfollow notes that the log cannot be read. Local entries stay valid, bounded by
// Local.TTL. Records that are read from now on cannot be checked here.
func (k *Invalidations) Unfollow() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.follows = false
}

// EntryValid reports whether a local entry is valid that carries tags and was last found
// valid at an epoch. If the entry is valid, EntryValid updates the epoch.
func (k *Invalidations) EntryValid(tags []string, epoch *atomic.Uint64) bool {
	return epoch.Load() == k.epoch.Load() || k.Revalidate(tags, epoch)
}

// Revalidate is EntryValid for an epoch that is not the current one.
func (k *Invalidations) Revalidate(tags []string, epoch *atomic.Uint64) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	last := epoch.Load()
	if last < k.minEpoch || k.anyLocked(tags, func(st tagState) bool { return st.epoch > last }) {
		return false
	}
	epoch.CompareAndSwap(last, k.epoch.Load())
	return true
}

// DroppedWithin reports whether one of tags, or the whole cache, was dropped in the given
// time before a moment, or may have been because the log was not read then.
func (k *Invalidations) DroppedWithin(tags []string, before time.Time, within time.Duration) bool {
	if within == 0 {
		return false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	start := before.Add(-within)
	return k.followedAt.After(start) || k.anyLocked(tags, func(st tagState) bool { return st.droppedAt.After(start) })
}

// DroppedSince reports whether one of tags, or the whole cache, was dropped after an epoch.
func (k *Invalidations) DroppedSince(tags []string, epoch uint64) bool {
	if k.epoch.Load() == epoch {
		return false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.anyLocked(tags, func(st tagState) bool { return st.epoch > epoch })
}

func (k *Invalidations) anyLocked(tags []string, is func(tagState) bool) bool {
	return is(k.tags[""]) || slices.ContainsFunc(tags, func(tag string) bool { return is(k.tags[tag]) })
}

// Verdict is the result of a check of a record.
type Verdict struct {
	Invalid bool
	Unknown []string // the tags whose positions the remote tier has to be asked for
	Live    bool     // this instance is up to date with the log
	session int
}

// Check compares a remote record with the invalidations that this instance knows. stamp and
// tags are the record's. live reports that the log's reader has had an answer from the
// remote tier recently, so that the absence of entries means that there are none.
//
// The record is invalid if the cache, or one of its tags, was invalidated after stamp. If
// the Verdict has Unknown tags, the caller asks the remote tier for their positions, and
// passes the answers to Resolve.
func (k *Invalidations) Check(stamp remote.Position, tags []string, live bool) (v Verdict) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	v.session, v.Live = k.sessions, k.follows && live
	recent := v.Live && !stamp.Before(k.completeSince)
	k.checkLocked(&v, stamp, recent, "")
	for _, tag := range tags {
		k.checkLocked(&v, stamp, recent, tag)
	}
	return v
}

func (k *Invalidations) checkLocked(v *Verdict, stamp remote.Position, recent bool, tag string) {
	switch st := k.tags[tag]; {
	case st.exact && stamp.Before(st.position):
		v.Invalid = true
	case recent, st.exact && v.Live:
	default:
		v.Unknown = append(v.Unknown, tag)
	}
}

// Resolve reports whether a record with that stamp is valid, given the positions of the
// Unknown tags of v, in their order. It remembers the positions. A tag without a recorded
// position may have been invalidated at any time, so its record is invalid.
func (k *Invalidations) Resolve(v Verdict, stamp remote.Position, positions []*remote.Position) (valid bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, tag := range v.Unknown {
		if positions[i] == nil || positions[i].Never() { // another instance is about to replace it
			continue
		}
		if v.Live && k.follows && k.sessions == v.session {
			st := k.tags[tag]
			st.position, st.exact = st.position.Later(*positions[i]), true
			k.setLocked(tag, st)
		}
	}
	return !slices.ContainsFunc(positions, func(at *remote.Position) bool { return at == nil || stamp.Before(*at) })
}
