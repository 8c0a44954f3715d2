package cache

import (
	"context"
	"time"
)

// Remote is the tier that all instances share. Package redis implements it;
// cachetest.TestRemote is what every implementation must pass.
//
// It holds one record for each key, in one of three states, or none: see
// [State]. Every record goes by itself at the end of its lifetime, measured by
// the remote's own clock. Besides the records there is the log, to which what is
// invalidated is appended, by name: see [Log]. Each method is one atomic step on
// one key, except those that take several keys, which are one such step for
// each. All methods are safe for concurrent use and return within the Budget,
// Wait apart, whatever the state of the server. Their errors name no keys.
type Remote interface {
	// Budget is the longest that one command takes, from the call to its
	// return.
	Budget() time.Duration

	// Get reads key. An unreadable record is StateCorrupt, not an error. With confirm
	// it asks for the end of the log too, in the same round trip, and may wait a few
	// milliseconds until the followers have been told of that: see Record.Complete.
	Get(ctx context.Context, key string, confirm bool) (Record, error)

	// GetOrLease is Get that also takes the lease of key, as Lease does, if there is no
	// record and the Remote can do both in one round trip. If it returns no Lease, and the
	// record is absent, Lease has to be tried.
	GetOrLease(ctx context.Context, key string, hold time.Duration, confirm bool) (Lease, Record, error)

	// Wait returns when key is in another state than StateLease, or with ctx's
	// error when ctx ends first.
	Wait(ctx context.Context, key string) (Record, error)

	// Lease takes the lease of key if there is no record, or the one that
	// replace, a Record.Version, names. If it does not, the Lease is nil and
	// the Record is the one that stands. The lease is kept alive until it is
	// filled or released, for at most hold.
	Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (Lease, Record, error)

	// Seize takes the lease of key whatever the record, unless it is a
	// tombstone: then the Lease is nil.
	Seize(ctx context.Context, key string, hold time.Duration) (Lease, error)

	// Touch starts the TTL of a value anew, as far as its MaxAge allows, and
	// returns what is left of it then; 0 if there was nothing to renew. It
	// changes no lease and no tombstone and revives nothing.
	Touch(ctx context.Context, key string) (time.Duration, error)

	// Invalidate removes the records of keys, but for tombstones of bans, and after
	// that appends keys to the log. Where hold is positive it leaves tombstones
	// for so long. When it returns an error, some records may be left, or the log
	// may not have the keys; trying again is harmless. Beyond some hundred keys
	// it may take more than one Budget, while the server answers.
	Invalidate(ctx context.Context, keys []string, hold time.Duration) error

	// Ban replaces the records of keys by tombstones, which stand for ttl or
	// until Lift, and after that appends keys to the log. Several bans of a key
	// stand side by side. Where a tombstone cannot be stored, the record goes
	// all the same.
	Ban(ctx context.Context, ban Token, keys []string, ttl time.Duration) error

	// Lift ends a ban: it removes the tombstones of keys that no other ban
	// shares, or leaves them for hold, and after that appends keys to the log.
	// Whatever else stands at a key, it removes.
	Lift(ctx context.Context, ban Token, keys []string, hold time.Duration) error

	Log
}

// Token names one ban. It is random.
type Token [16]byte

// Lease is the right to fill a key. Tokens are unique for each load: a lease
// that was lost and taken again, even by the same process, is another one.
type Lease interface {
	// Fill replaces the lease with a value and reports whether the lease still
	// stood; if not, it changes nothing. Where it stood and the value could not
	// be stored, it reports true and an error, and the lease is gone too. Where
	// it reports false and an error, what the record is now is not known: Release
	// finds out, and has to be called.
	Fill(ctx context.Context, fill Fill) (held bool, err error)

	// Release gives the lease up, and reports whether it still stood. If so, no Fill of
	// this lease has stored a value, or ever will. A lease that is lost stays as it is.
	// After an error the lease goes in the background, or by itself.
	Release(ctx context.Context) (held bool, err error)
}

// Fill is a value on its way into the remote tier.
type Fill struct {
	Payload  []byte        // the encoded value
	NotFound bool          // the source has no such key; Payload is empty
	TTL      time.Duration // from the fill, and again from each Touch
	MaxAge   time.Duration // from the moment at which the lease was granted; bounds TTL
	Stamp    Position      // what its instance knew of the log when the load began
	Tags     []string      // what it can be invalidated by, besides its key
}

// State is what a Remote holds for a key.
type State int

// The states of a record.
const (
	StateAbsent    State = iota // no record
	StateValue                  // a value, or the fact that there is none
	StateLease                  // somebody is loading it
	StateTombstone              // nothing may be filled
	StateCorrupt                // bytes that are not a record of this key
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case StateAbsent:
		return "absent"
	case StateValue:
		return "value"
	case StateLease:
		return "lease"
	case StateTombstone:
		return "tombstone"
	case StateCorrupt:
		return "corrupt"
	}
	return "unknown"
}

// Record is what a Remote answers for a key.
type Record struct {
	State State

	// Asked is when the command that read the record was sent. Complete says that the
	// followers of its cache have been told of every entry that the log had by then.
	Asked    time.Time
	Complete bool

	// Of a value: what it was filled with, and what was left at Asked until the record
	// goes.
	Payload  []byte
	NotFound bool
	TTL      time.Duration
	Left     time.Duration
	Stamp    Position
	Tags     []string

	// Version names this very record to Lease, for a reader that cannot use it.
	// Its contents are the Remote's own.
	Version []byte

	// Reason says what is wrong with a corrupt record.
	Reason error
}
