package remote

import (
	"context"
	"time"
)

// Tier is a remote tier: the tier that all instances share. Package redis implements it.
// cachetest.TestRemote is the conformance suite that every implementation must pass.
//
// A Tier holds at most one record for each key, in one of the states of [State]. Each
// record has a lifetime, measured by the server's own clock, and disappears at its end.
// Besides the records a Tier has a log, to which the names of invalidated keys and tags are
// appended: see [Log].
//
// Rules for all methods:
//
//   - A method is one atomic step on one key. A method with several keys makes one such
//     step for each key; other commands may run between the steps. With no keys,
//     Invalidate, Guard and Unguard do nothing, and return nil.
//   - A method that changes records and appends to the log appends after the change. So an
//     instance that has received the entry does not read the old record.
//   - Keys and tags are any bytes. All keys, or tags, of one call belong to one cache.
//   - All methods are safe for concurrent use.
//   - A method returns within the Budget, whatever the state of the server. The exceptions
//     are Wait, and calls with more than some hundred keys or tags: while the server answers,
//     they may take longer.
//   - A call whose context has already ended changes nothing, and returns an error. After
//     any other error the command may have been carried out, unless the error is
//     ErrUnavailable.
//   - Errors name no keys.
type Tier interface {
	// Budget returns the longest time that one command takes, from the call to its return.
	Budget() time.Duration

	// Get reads the record of key. Bytes that are not a record of key are StateCorrupt, not
	// an error.
	//
	// With confirm, Get also asks for the end of the log, in the same round trip. Get may
	// then wait a few milliseconds until the entries up to the end have been delivered to
	// the followers, and sets Record.Complete if they have been. Without confirm, Complete
	// is false.
	Get(ctx context.Context, key string, confirm bool) (Record, error)

	// GetOrLease is Get that also takes the lease of key, as Lease does, if there is no
	// record and the Tier can do both in one round trip. The Record is then absent. A Tier
	// may leave the lease to Lease: if GetOrLease returns a nil Lease and an absent Record,
	// the caller calls Lease.
	GetOrLease(ctx context.Context, key string, hold time.Duration, confirm bool) (Lease, Record, error)

	// Wait waits while the record of key is a lease, and then returns the record. Where the
	// record is no lease, Wait returns at once. If ctx ends first, Wait returns ctx's
	// error. The caller uses a value, calls Lease where the record is absent, and loads
	// without a lease after an error.
	//
	// If the holder does not renew the lease, Wait returns the lease's record before the
	// lease lapses. The holder is dead, or slow, and the caller calls Lease to replace that
	// lease.
	Wait(ctx context.Context, key string) (Record, error)

	// Lease takes the lease of key if there is no record, or if the record that stands is
	// the one that replace names, a Record.Version. The caller passes the Version of a
	// value that it has found invalid, or of a corrupt record; a nil replace names no
	// record.
	//
	// If Lease takes no lease, the Lease is nil, and the Record is the one that stands.
	//
	// The Tier keeps the lease alive until Fill or Release is called, for at most hold. If
	// the process of the holder dies, the lease lapses. After an error the lease may have
	// been granted, as when the reply was lost: the Tier then releases the lease in the
	// background, or lets the lease lapse.
	Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (Lease, Record, error)

	// Seize takes the lease of key whatever its record is, a lease of another load
	// included. That load then cannot fill. The exception is a tombstone: then the Lease is
	// nil, and the tombstone stands. Otherwise Seize is like Lease.
	Seize(ctx context.Context, key string, hold time.Duration) (Lease, error)

	// LeaseBeside takes the lease of a value that was filled with a Window or a LoadTime, and
	// leaves the value: reads go on finding it until the lease's Fill replaces it. A value that
	// would end before the next renewal of the lease is replaced by the lease. The value is the
	// one that version names, a Record.Version. If another load holds its lease, the Lease is nil, and the Record has
	// that Version and Leased. If the record is another, LeaseBeside is like a Lease that took
	// no lease; the Record may also be absent. Otherwise LeaseBeside is like Lease.
	LeaseBeside(ctx context.Context, key string, hold time.Duration, version []byte) (Lease, Record, error)

	// Touch starts the TTL of a value again, as far as the value's MaxAge allows, and
	// returns the TTL that is left then; 0 if there was nothing to renew. Touch changes no
	// lease, no tombstone, no stale value and no corrupt record, and does not bring back a
	// record that has expired.
	Touch(ctx context.Context, key string) (time.Duration, error)

	// Invalidate removes the records of keys, leases included, and then appends keys to the
	// log. So the fill of a load that is under way is refused. Tombstones stand, for as
	// long as they would have stood. Where hold is positive, Invalidate leaves a tombstone
	// at each key, for at least hold.
	//
	// After an error some records may be left, or the log may lack the keys. To repeat the
	// call is harmless. A PartialError has the keys for which the call has failed, and for
	// the others it has succeeded. Beyond some hundred keys Invalidate may take more than one
	// Budget, while the server answers.
	Invalidate(ctx context.Context, keys []string, hold time.Duration) error

	// Guard replaces the records of keys by tombstones, whatever the records are, and then
	// appends keys to the log. A tombstone stands for ttl, or until Unguard. A key may have
	// several guards at once: its tombstone stands until the last of them is removed or has
	// lapsed.
	//
	// Where a tombstone cannot be stored, as when the server is full, the record is removed
	// anyway, and Guard returns an error.
	Guard(ctx context.Context, token Token, keys []string, ttl time.Duration) error

	// Unguard ends a guard, and then appends keys to the log. A tombstone that other guards share
	// stands until they end. Any other record at a key is removed, because the guard may have
	// been lost and the key filled since. Where hold is positive, Unguard leaves a tombstone
	// at each key, for at least hold. Unguard may be repeated.
	Unguard(ctx context.Context, token Token, keys []string, hold time.Duration) error

	Many
	Log
}

// Token names one guard. A token is random, and no guard has the zero Token.
type Token [16]byte

// Lease is the right to fill a key. Each lease has a token that no other load ever had: a
// lease that was lost and then taken again is another lease, even if the same process took
// it. The holder calls Fill or Release once, and Release after a Fill whose outcome is
// unknown.
type Lease interface {
	// Fill replaces the lease, and the value that LeaseBeside has left, with a value, in
	// one atomic step, if the lease still stands. A Fill whose TTL is not positive stores
	// nothing, and the key has no record then.
	// There are four outcomes:
	//
	//   - true and nil: the lease stood, and the value is stored. If more than fill.MaxAge
	//     has passed since the grant of the lease, the value is not stored, and the key has
	//     no record.
	//   - true and an error: the lease stood, and the value could not be stored, as when
	//     the server is full. There is neither a lease nor a value.
	//   - false and nil: the lease was gone. Fill has changed nothing. The key may have
	//     been invalidated, so the caller keeps the value in no tier.
	//   - false and an error: whether the value is stored is unknown. The caller must call
	//     Release, whose result tells whether the lease still stood.
	Fill(ctx context.Context, fill Fill) (held bool, err error)

	// Release gives the lease up, and reports whether the lease still stood. If so, no Fill
	// of this lease has stored a value, or will: a Fill that arrives later is refused. If
	// the lease was gone, Release changes nothing. After an error the Tier releases the
	// lease in the background, or lets the lease lapse.
	Release(ctx context.Context) (held bool, err error)
}

// Fill is a value to be stored in the remote tier.
type Fill struct {
	Payload  []byte        // the encoded value
	NotFound bool          // the source has no such key; Payload is empty
	TTL      time.Duration // counts from the fill, and again from each Touch
	MaxAge   time.Duration // counts from the grant of the lease; bounds TTL
	Window   time.Duration // the record is kept stale for this time after its TTL or its MaxAge
	LoadTime time.Duration // how long the load took; 0 if no reader asks
	Stamp    Position      // the newest position that the instance knew when the load began
	Tags     []string      // the tags by which the value can be invalidated, besides its key

	// Unchanged reports that Payload, NotFound and Tags are those of the value that
	// LeaseBeside has left. A Tier need not write them again.
	Unchanged bool
}

// State is the state of the record that a Tier holds for a key.
type State int

// The states of a record.
const (
	StateAbsent    State = iota // no record
	StateValue                  // a value, or the fact that the source has no such key
	StateLease                  // a load is under way; only the lease holder may fill
	StateTombstone              // no load may fill the key
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

// Record is the answer of a Tier about a key.
type Record struct {
	State State

	// Asked is the time at which the command that read the record was sent. Complete
	// reports that every entry that the log had by then has been delivered to the followers
	// of the key's cache. A Tier that cannot find out leaves Complete false.
	Asked    time.Time
	Complete bool

	// The fields of a value: those of its Fill, and in Left the lifetime that remained at
	// Asked, without the Window. A value whose Left is not positive is stale, since that long.
	Payload  []byte
	NotFound bool
	TTL      time.Duration
	Left     time.Duration
	Window   time.Duration
	Stamp    Position
	Tags     []string
	LoadTime time.Duration
	Leased   bool // only from LeaseBeside: a load that is to replace the value is under way

	// Version identifies this very record. A reader that cannot use the record passes
	// Version to Lease to replace it. Only the Tier interprets its contents.
	Version []byte

	// Reason is the reason for StateCorrupt. It is nil in other states.
	Reason error
}
