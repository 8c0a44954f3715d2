package cache

import (
	"cmp"
	"context"
	"math"
	"time"
)

// Log is the part of a Remote by which instances tell each other what they
// invalidate: entries in one order for all, each a list of names. It is also the
// clock of the caches, since a value carries the position of the log that its
// instance knew when the load began.
//
// A name is a remote key, or the name of a tag, which is the cache's name, two
// colons, and the tag; with an empty tag it stands for the whole cache. What
// stands before its first colon is the name of the cache that it concerns.
type Log interface {
	// Follow makes the Remote tell f of what is appended to the log about the
	// cache of that name, until stop is called. It returns at once, and f.Since
	// is called as soon as the log can be read. A name has one follower at a time:
	// while it has one, Follow returns ErrFollowed. Calling stop again does nothing.
	Follow(cache string, f Follower) (stop func(), err error)

	// Position is the newest position of the log of that cache that this Remote
	// has heard of; zero if it has heard of none.
	Position(cache string) Position

	// Told is the last position of the log of that cache that the followers were told,
	// and when that was known to be all there was; zero if none was ever told.
	Told(cache string) (Position, time.Time)

	// End is the position of the last entry of the log of that cache; zero if it has
	// none.
	End(ctx context.Context, cache string) (Position, error)

	// Announce appends keys to the log.
	Announce(ctx context.Context, keys ...string) error

	// InvalidateTags appends tags to the log, and returns a position that is not
	// before it. Whoever reads the tags' positions from then on, for so long as
	// keep, finds none that is older than the call. Like Invalidate it may take more
	// than one Budget beyond some hundred tags.
	InvalidateTags(ctx context.Context, tags []string, keep time.Duration) (Position, error)

	// TagPositions returns where each of tags was last invalidated, as far as
	// that is recorded; nil for a tag of which nothing is. A cache asks for the tags
	// of one value, and its own: MaxTags and one at most.
	TagPositions(ctx context.Context, tags ...string) ([]*Position, error)

	// RecordTags records that each of tags was last invalidated at that position, if
	// it is recorded at was; with a zero was, if nothing is recorded of it. It keeps
	// these records, and others that there are, but for those that are Never, for at
	// least so long as keep; with a zero keep there is no record then. They are as many
	// as for TagPositions.
	RecordTags(ctx context.Context, was, at Position, keep time.Duration, tags ...string) error
}

// Follower is told of the entries of a log. Its methods must be fast, must not call
// Follow, and are called one after the other, those that tell of entries in the order of
// the log.
type Follower interface {
	// Since says that every entry after at will be told: when the log is first
	// read, and when it is read again after Lost. Complete says that none was
	// missed; otherwise entries before at may never be told.
	Since(at Position, complete bool)

	// Lost says that the log cannot be read at present.
	Lost()

	// Invalidated tells of a name in the entry at that position. Own says that
	// this very Remote appended it.
	Invalidated(name string, at Position, own bool)
}

// Position is a place in the log. The zero Position is before every entry. One with the
// last Time is behind all: as the record of a tag it says that nothing is right, and
// InvalidateTags replaces it although it is later.
type Position struct{ Time, Seq uint64 }

// Never reports whether p is behind every entry that there will be.
func (p Position) Never() bool { return p.Time == math.MaxUint64 }

// Compare returns -1 if p is before q, 0 if they are the same, and 1 if it is after.
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
