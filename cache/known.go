package cache

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxKnownTags bounds the tags of which an instance remembers something.
const maxKnownTags = 10_000

// known is what an instance knows of the invalidations that name no key: those of
// tags, those of the whole cache, for which the tag "" stands, and what it may
// have missed.
//
// The tiers are judged apart. A local entry is wrong if one of its tags was dropped
// after it was last found right, in the order of this instance's own count of drops.
// So a hit costs one comparison while nothing is dropped. A record of the remote
// tier is wrong if one of its tags was invalidated after its stamp, in the order of
// the log: the load that made it began when its instance knew the log up to the
// stamp, and so read a source with every write that was announced before.
type known struct {
	drops atomic.Uint64 // how often something was dropped

	mu       sync.RWMutex // guards all below
	floor    uint64       // whatever was last found right before this drop is wrong
	follows  bool         // the log is being read
	since    Position     // every entry after it was told
	sessions int          // how often since was set
	begun    time.Time    // when it was last set
	tags     map[string]tagState
}

// tagState is what is known of one tag.
type tagState struct {
	dropped uint64    // the last drop
	when    time.Time // of that
	at      Position  // the last invalidation, if all
	all     bool      // at is not older than the last invalidation that was told
}

// complete reports whether every invalidation after a position is known, as far as it was
// told.
func (k *known) complete(after Position) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.follows && !after.Before(k.since)
}

// following reports whether the log is being read.
func (k *known) following() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.follows
}

// drop declares wrong what this instance holds of tags.
func (k *known) drop(tags ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, now := k.drops.Load()+1, time.Now()
	for _, tag := range tags {
		if tag == "" {
			k.floor = n
		}
		st := k.tags[tag]
		st.dropped, st.when = n, now
		k.setLocked(tag, st)
	}
	k.drops.Store(n)
}

// dropLocal declares every local entry wrong, and says nothing of the remote tier.
func (k *known) dropLocal() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.floor = k.drops.Load() + 1
	k.drops.Store(k.floor)
}

// told notes the position of an invalidation of tag.
func (k *known) told(tag string, at Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.tags[tag]
	st.at, st.all = st.at.Later(at), true
	k.setLocked(tag, st)
}

func (k *known) setLocked(tag string, st tagState) {
	if k.tags == nil {
		k.tags = make(map[string]tagState)
	}
	if _, ok := k.tags[tag]; !ok && len(k.tags) >= maxKnownTags {
		k.forgetLocked()
	}
	k.tags[tag] = st
}

// forgetLocked forgets half of the tags: those that were only asked about, and then those
// that were dropped longest ago. Whatever they would have declared wrong is so, and
// records from before are asked about.
func (k *known) forgetLocked() {
	tags := slices.SortedFunc(maps.Keys(k.tags), func(a, b string) int {
		return cmp.Compare(k.tags[a].dropped, k.tags[b].dropped)
	})
	for _, tag := range tags[:len(tags)/2] {
		if tag == "" {
			continue
		}
		st := k.tags[tag]
		k.floor, k.since = max(k.floor, st.dropped), k.since.Later(st.at)
		if st.when.After(k.begun) {
			k.begun = st.when
		}
		delete(k.tags, tag)
	}
}

// begin notes that every entry after at will be told. Unless complete says that
// none was missed since it was called before, nothing that this instance holds can be
// relied on. It reports whether that is so, and whether this is the first time.
func (k *known) begin(at Position, complete bool) (lost, first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.follows = true
	if complete && k.sessions > 0 {
		return false, false
	}
	k.sessions++
	k.begun = time.Now()
	k.since = at
	for tag, st := range k.tags {
		// It may be called late, after what comes behind at was told.
		if st.all = st.all && at.Before(st.at); !st.all {
			delete(k.tags, tag)
		}
	}
	k.floor = k.drops.Load() + 1
	k.drops.Store(k.floor)
	return true, k.sessions == 1
}

// lose notes that the log cannot be read. What this instance holds is bounded by
// Local.TTL; what it knows is of no use for records that it reads meanwhile.
func (k *known) lose() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.follows = false
}

// right reports whether a local entry with tags, which was right at the drop that
// checked names, still is; if so, checked is brought up to date.
func (k *known) right(tags []string, checked *atomic.Uint64) bool {
	return checked.Load() == k.drops.Load() || k.recheck(tags, checked)
}

func (k *known) recheck(tags []string, checked *atomic.Uint64) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	last := checked.Load()
	if last < k.floor || k.anyLocked(tags, func(st tagState) bool { return st.dropped > last }) {
		return false
	}
	checked.CompareAndSwap(last, k.drops.Load())
	return true
}

// lately reports whether one of tags, or the whole cache, was dropped less than
// hold before began. It may have been before this instance could hear of it.
func (k *known) lately(tags []string, began time.Time, hold time.Duration) bool {
	if hold == 0 {
		return false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	since := began.Add(-hold)
	return k.begun.After(since) || k.anyLocked(tags, func(st tagState) bool { return st.when.After(since) })
}

// dropped reports whether one of tags, or the whole cache, is known to have been
// dropped after that drop.
func (k *known) dropped(tags []string, after uint64) bool {
	if k.drops.Load() == after {
		return false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.anyLocked(tags, func(st tagState) bool { return st.dropped > after })
}

func (k *known) anyLocked(tags []string, is func(tagState) bool) bool {
	return is(k.tags[""]) || slices.ContainsFunc(tags, func(tag string) bool { return is(k.tags[tag]) })
}

// judgement is what can be said of a record.
type judgement struct {
	wrong   bool
	unknown []string // tags that decide, and of which the remote tier has to be asked
	follows bool     // what is known is kept up to date
	session int
}

// judge says whether a record with that stamp and those tags is right. Lately says
// that the log was heard of a short while ago.
func (k *known) judge(stamp Position, tags []string, lately bool) (j judgement) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	j.session, j.follows = k.sessions, k.follows && lately
	recent := j.follows && !stamp.Before(k.since)
	k.judgeLocked(&j, stamp, recent, "")
	for _, tag := range tags {
		k.judgeLocked(&j, stamp, recent, tag)
	}
	return j
}

func (k *known) judgeLocked(j *judgement, stamp Position, recent bool, tag string) {
	switch st := k.tags[tag]; {
	case st.all && stamp.Before(st.at):
		j.wrong = true
	case recent, st.all && j.follows:
	default:
		j.unknown = append(j.unknown, tag)
	}
}

// learn notes the answers of the remote tier for the unknown tags of j, and
// reports whether a record with that stamp is right by them. A tag without a
// record may have been invalidated at any time.
func (k *known) learn(j judgement, stamp Position, answers []*Position) (right bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, tag := range j.unknown {
		if answers[i] == nil || answers[i].Never() { // which another instance is about to replace
			continue
		}
		if j.follows && k.follows && k.sessions == j.session {
			st := k.tags[tag]
			st.at, st.all = st.at.Later(*answers[i]), true
			k.setLocked(tag, st)
		}
	}
	return !slices.ContainsFunc(answers, func(at *Position) bool { return at == nil || stamp.Before(*at) })
}
