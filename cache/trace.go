package cache

import (
	"context"
	"time"
)

// Trace has functions that a Cache calls when something happens, as
// net/http/httptrace does. Any of them may be nil. They are called on the
// goroutine that does the work, outside all locks of the Cache, with the context of the call
// or of the load (which has the values of its first caller's): they must be fast
// and safe for concurrent use. Keys are as Options.Key writes them.
type Trace struct {
	// Hit: a call was answered by a tier, with a value or with not found.
	Hit func(context.Context, HitInfo)

	// Miss: neither tier could answer a call, which went to the source, if it
	// is one that loads.
	Miss func(context.Context, MissInfo)

	// Load: a loader returned.
	Load func(context.Context, LoadInfo)

	// Fill: a loaded value was stored, or was not.
	Fill func(context.Context, FillInfo)

	// Wait: a wait for the load of another instance is over.
	Wait func(context.Context, WaitInfo)

	// RemoteError: the remote tier failed, and the call went on without it.
	RemoteError func(context.Context, RemoteErrorInfo)

	// Corrupt: the remote tier held something for the key that this cache
	// cannot read. The next load replaces it.
	Corrupt func(context.Context, CorruptInfo)

	// Told: another instance invalidated a key, a tag or the whole cache, and
	// this one has heard of it. What is told twice is counted and traced twice: a
	// tag and the whole cache, whose first entry is for those who follow the log
	// and the second for who began to in between, and the keys of a Mutate, before
	// and after the write. Told and Gap have no context of a call. The reading of
	// the log waits for them: they must not make a Cache on the same Remote. They
	// may be called a moment after Close.
	Told func(context.Context, ToldInfo)

	// Gap: invalidations may have been missed, and the local tier was dropped.
	Gap func(context.Context)

	// Evict: an entry made way for another in the local tier.
	Evict func(context.Context, EvictInfo)
}

// Tier is where the answer to a call came from.
type Tier int

// The two tiers. The zero Tier is none of them.
const (
	TierLocal Tier = iota + 1
	TierRemote
)

// String returns "local", "remote" or "none".
func (t Tier) String() string {
	switch t {
	case TierLocal:
		return "local"
	case TierRemote:
		return "remote"
	}
	return "none"
}

// HitInfo tells of a hit.
type HitInfo struct {
	Key      string
	Tier     Tier
	NotFound bool // what the tier knows is that there is no value
}

// MissInfo tells of a miss.
type MissInfo struct{ Key string }

// LoadInfo tells of a load.
type LoadInfo struct {
	Key  string
	Took time.Duration
	Err  error // the loader's own; nil where it panicked, too
}

// FillInfo tells what became of a loaded value.
type FillInfo struct {
	Key     string
	Outcome FillOutcome
	Err     error // of the codec or the remote, where there is one
}

// FillOutcome says what became of a loaded value. In every case its callers got
// it.
type FillOutcome int

// The outcomes of a fill.
const (
	Filled        FillOutcome = iota // it is in the tiers
	FillLocal                        // it is in the local tier; the remote one failed
	FillRefused                      // the lease was gone, or a tombstone stands: in no tier
	FillDoomed                       // its key, a tag or the cache was invalidated meanwhile, as this instance knows: in no tier, or in the remote one if that came last
	FillFailed                       // its tags are over a limit, the codec failed, or the remote did without saying whether the lease still stood: in no tier
	FillSkipped                      // TTLOf says that it is not to be stored
	FillAbandoned                    // its callers had all left, and nobody could tell the load of an Invalidate: in no tier, or in the remote one if they left last
	FillTooLarge                     // its payload is over MaxPayload: in the local tier alone
)

// WaitInfo tells of a wait for another instance's load.
type WaitInfo struct {
	Key  string
	Took time.Duration
	Err  error // nil if the wait ended with the load; else why it was given up
}

// RemoteErrorInfo tells of a failure of the remote tier.
type RemoteErrorInfo struct {
	Op  string // "get", "wait", "lease", "fill", "release", "touch", "tags", "record tags", "invalidate", "invalidate tags", "ban" or "set"
	Err error
}

// CorruptInfo tells of something in the remote tier that cannot be read.
type CorruptInfo struct {
	Key string
	Err error
}

// ToldInfo tells of an invalidation by another instance.
type ToldInfo struct {
	Name string // the key, or the tag: "" is the whole cache
	Tag  bool
}

// EvictInfo tells of an eviction from the local tier.
type EvictInfo struct{ Key string }
