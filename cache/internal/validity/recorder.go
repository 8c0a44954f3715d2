package validity

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// claimTime bounds how long a tag is claimed while its position is being recorded.
const claimTime = 10 * time.Second

// ErrChanged reports that a tag may have been invalidated since the load of a value.
var ErrChanged = errors.New("cache: a tag may have changed")

// Recorder records positions for tags that have none in the remote tier, for instances that
// start later: a tag without a position makes the values that carry it misses. All methods
// are safe for concurrent use.
type Recorder struct {
	Tier          remote.Tier
	Invalidations *Invalidations
	Cache         string        // the cache's name
	Prefix        string        // of the names of tags
	Again         time.Duration // how long after a recording a tag is due again
	Keep          time.Duration // how long a position is kept

	mu   sync.Mutex // guards next
	next map[string]time.Time
}

// Due returns the tags whose positions this instance is to record, out of tags and "",
// which stands for the whole cache. It reserves them for as long as a recording may take.
func (r *Recorder) Due(tags []string) (due []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, tag := range append([]string{""}, tags...) {
		if !now.Before(r.next[tag]) {
			due = append(due, tag)
		}
	}
	r.setLocked(due, now.Add(claimTime))
	return due
}

// postpone notes that tags are not due for a while.
func (r *Recorder) postpone(tags []string, while time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setLocked(tags, time.Now().Add(while))
}

// Forget makes every tag due: the remote tier may have lost the positions.
func (r *Recorder) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.next)
}

// setLocked forgets some of the tags if there are too many. Their positions are recorded
// once more.
func (r *Recorder) setLocked(tags []string, next time.Time) {
	if r.next == nil {
		r.next = make(map[string]time.Time)
	}
	if len(r.next) > MaxTags {
		for tag := range r.next {
			delete(r.next, tag)
			if len(r.next) <= MaxTags/2 {
				break
			}
		}
	}
	for _, tag := range tags {
		r.next[tag] = next
	}
}

// Record records the stamp of a value that was just filled as the position of the tags that
// are due. tags are all tags of the value, and epoch is the epoch in which its load began.
// The stamp is correct only if no tag was invalidated after it. Written directly it would
// race:
//
//  1. Another instance invalidates a tag at a later position, and records that position.
//  2. The remote tier evicts the record.
//  3. This instance, which the entry has not reached yet, records the older stamp. Instances
//     that start now accept values from before step 1.
//
// So Record works like a lease. It claims the tags: while a claim stands, their values are
// misses. It waits until every entry that was in the log at that time has been delivered
// here, and checks that none of them names a tag. Then it replaces the claim by the stamp, if
// the claim still stands: an invalidation or an eviction has removed it.
//
// Record returns ErrChanged if a tag may have been invalidated, or the error of the remote
// tier.
func (r *Recorder) Record(ctx context.Context, due, tags []string, stamp remote.Position, epoch uint64) error {
	names, claim := r.names(due), remote.Position{Time: math.MaxUint64, Seq: rand.Uint64()}
	err := r.Tier.RecordTags(ctx, remote.Position{}, claim, claimTime, names...)
	if err == nil {
		if err = r.replace(ctx, tags, names, claim, stamp, epoch); err != nil {
			_ = r.Tier.RecordTags(ctx, claim, remote.Position{}, 0, names...) // or it lapses
		}
	}
	if err == nil {
		err = r.verify(ctx, names)
	}
	switch err {
	case nil:
		r.postpone(due, r.Again)
	case ErrChanged:
		r.postpone(due, 0)
	}
	return err
}

func (r *Recorder) names(tags []string) []string {
	names := make([]string, len(tags))
	for i, tag := range tags {
		names[i] = r.Prefix + tag
	}
	return names
}

// replace replaces a claim by the stamp, if no tag was invalidated since.
func (r *Recorder) replace(ctx context.Context, tags, names []string, claim, stamp remote.Position, epoch uint64) error {
	end, err := r.Tier.End(ctx, r.Cache)
	if err != nil {
		return err
	}
	if !r.unchanged(ctx, tags, epoch, stamp, end) {
		return ErrChanged
	}
	return r.Tier.RecordTags(ctx, claim, stamp, r.Keep, names...)
}

// unchanged waits until the entries up to the end of the log have been delivered, and
// reports whether no tag was dropped after epoch. Entries that are missing arrive within
// milliseconds. Otherwise unchanged gives up after a budget, and when ctx ends.
func (r *Recorder) unchanged(ctx context.Context, tags []string, epoch uint64, stamp, end remote.Position) bool {
	ctx, cancel := context.WithTimeout(ctx, r.Tier.Budget())
	defer cancel()
	for {
		delivered, _ := r.Tier.Delivered(r.Cache)
		if !delivered.Before(end) {
			return r.Invalidations.CompleteSince(stamp) && !r.Invalidations.DroppedSince(tags, epoch)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}

// verify checks that every name has a position now. The claim of another instance, which
// has not replaced it yet, may stand there.
func (r *Recorder) verify(ctx context.Context, names []string) error {
	at, err := r.Tier.TagPositions(ctx, names...)
	if err == nil && slices.ContainsFunc(at, func(p *remote.Position) bool { return p == nil || p.Never() }) {
		return ErrChanged
	}
	return err
}
