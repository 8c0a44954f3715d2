package remote

import (
	"cmp"
	"context"
	"math"
	"time"
)

// Log is the part of a Tier through which instances announce their invalidations to each
// other. All instances see the entries in one order. An entry is a list of names.
//
// The log is also the clock of the caches: a value carries a stamp, the newest position of
// the log that its instance knew when the load began.
//
// A name is a remote key or the name of a tag. The name of a tag is the cache's name, two
// colons, and the tag; the empty tag stands for the whole cache. The part of a name before
// its first colon is the name of the cache that the entry concerns.
type Log interface {
	// Follow delivers to f the entries about the cache of that name that are appended to
	// the log, until stop is called. Follow returns at once. The Tier calls f.Since as soon
	// as the log can be read, possibly before Follow returns.
	//
	// A name has one follower at a time on a Tier. While a name has a follower, Follow
	// returns ErrFollowed, and never calls f. To call stop again does nothing, even if the
	// name has another follower by then.
	Follow(cache string, f Follower) (stop func(), err error)

	// Observed returns the newest position, in the log of that cache, of an entry that this
	// Tier has read or appended; the zero Position if there is none. A cache without
	// HoldOff takes this position as the stamp of a value that the cache is about to load.
	// A cache with HoldOff takes the position that Delivered returns.
	Observed(cache string) Position

	// Delivered returns the last position of the log of that cache up to which no entry is left
	// to be delivered to the followers. An entry counts as delivered when the calls of
	// Invalidated have returned. Every entry that the log had at the returned time has been
	// delivered. Both results are zero while the Tier has read nothing of the log.
	Delivered(cache string) (Position, time.Time)

	// End asks the server for the position of the last entry of the log of that cache; zero
	// if the log has no entry.
	End(ctx context.Context, cache string) (Position, error)

	// Announce appends keys to the log as replaced, and changes no record: the followers'
	// Replaced is called, and not Invalidated.
	Announce(ctx context.Context, keys ...string) error

	// InvalidateTags appends tags to the log, and records for each tag the position at
	// which it was invalidated. The returned position is not before any of the call's
	// entries.
	//
	// After InvalidateTags has returned nil, TagPositions returns for tags no position from
	// before the call, for as long as keep. A recorded position is never
	// replaced by an earlier one, except for a Never position.
	//
	// An instance that starts to follow the log during the call must learn of the
	// invalidation. With one entry alone the instance may start behind the entry, and read
	// the record of the tag before the new position is written. So implementations append
	// an entry, record a position that is not before the entry, and append a second entry.
	//
	// After an error any part of the call may have been carried out; the caller may repeat
	// the call. Like Invalidate, InvalidateTags may take more than one Budget beyond some
	// hundred tags.
	InvalidateTags(ctx context.Context, tags []string, keep time.Duration) (Position, error)

	// TagPositions returns, for each of tags in their order, the position in the log at
	// which the tag was last invalidated. It returns nil for a tag without a record. The
	// server may have evicted that record, so the caller treats every value that carries
	// the tag as invalid.
	//
	// A cache asks for the tags of one value, or of the values of a call with many keys, and
	// for the empty tag of the whole cache: for a few hundred at once.
	TagPositions(ctx context.Context, tags ...string) ([]*Position, error)

	// RecordTags records the position at for each of tags whose recorded position is was.
	// With a zero was it records at for each tag without a record; otherwise a tag without
	// a record stays without one. Each tag is one atomic step. There are as many tags as
	// for TagPositions.
	//
	// The Tier keeps the new record for at least keep. With a zero keep the Tier removes
	// the record instead. A tag that is recorded at another position than was keeps its
	// position: the Tier prolongs such a record to at least keep, unless its position is
	// Never.
	//
	// The cache calls RecordTags twice to record a position for tags that have none. The
	// first call claims the tags with a random Never position. The second call replaces the
	// claim by the position, unless an invalidation in between has replaced the claim. A
	// claim stands for the keep of its own call, and no other call prolongs the claim.
	RecordTags(ctx context.Context, was, at Position, keep time.Duration, tags ...string) error
}

// Follower receives the entries of a log. The Tier calls the methods of a follower one
// after the other, and Invalidated in the order of the log. The methods must be fast, except
// Recovered, and must not call Follow.
type Follower interface {
	// Since reports that every entry after the position at will be delivered. The Tier
	// calls Since when the log is first read, when the log is read again after Lost, and
	// after a gap. complete reports that no entry was missed; for a new follower of a log
	// that is being read, complete is false. With complete false, entries before at may
	// never be delivered: the cache drops its local tier.
	Since(at Position, complete bool)

	// Lost reports that the log cannot be read at present. The Tier calls Since when it can
	// read the log again.
	Lost()

	// Replaced is Invalidated for a key that Announce has appended: a Set has replaced the
	// record, and the record may have a stamp from before the entry.
	Replaced(name string, at Position, own bool)

	// Reverted reports that the server has lost entries of the log, and with them changes of
	// records, although it had acknowledged them: all entries after the position to, and
	// entries of this Tier with names. It may have failed over to a replica that was behind,
	// or have been restarted with an old dump. If the Tier does not know the last entry that
	// was not lost, to is zero. The follower makes the invalidations again. If the Tier has
	// missed entries, too, it calls Since after Reverted.
	Reverted(to Position, names []string)

	// Recovered reports that the server serves again, after a time in which the Tier did not
	// send it all commands. The Tier waits for Recovered, until ctx ends, before it sends
	// commands that read. Commands that write are sent meanwhile: a follower makes the
	// invalidations that the server has missed. Unlike the other methods, Recovered may be
	// called at the same time as any of them.
	Recovered(ctx context.Context)

	// Invalidated delivers name, which is one name of the log entry at the position at. own
	// reports that this Tier itself appended the entry.
	//
	// The record of a key is changed before the key is delivered. So a read that starts
	// during the call of Invalidated, or later, does not find the old record.
	Invalidated(name string, at Position, own bool)
}

// Position is a place in the log. The zero Position is before every entry. A Position with
// the largest Time is behind every entry: see Never.
type Position struct{ Time, Seq uint64 }

// Never reports whether p is behind every entry that there will be. Recorded for a tag,
// such a position makes every value that carries the tag invalid. InvalidateTags replaces
// it by an earlier position.
func (p Position) Never() bool { return p.Time == math.MaxUint64 }

// Compare returns -1 if p is before q, 0 if they are the same, and 1 if p is after q.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Time, q.Time), cmp.Compare(p.Seq, q.Seq))
}

// Before reports whether p is before q.
func (p Position) Before(q Position) bool { return p.Compare(q) < 0 }

// Later returns the later of p and q.
func (p Position) Later(q Position) Position {
	if p.Before(q) {
		return q
	}
	return p
}
