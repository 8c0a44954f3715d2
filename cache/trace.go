package cache

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/internal/hook"
)

// Trace has functions that a Cache calls at its events, as net/http/httptrace does. Any
// function may be nil. A Cache calls them on the goroutine that does the work, outside all
// its locks, with the context of the call, or of the load (which has the values of its first
// caller's context). So the functions must be fast, and safe for concurrent use. A panic of
// such a function is contained, and the first one is logged. Keys are strings as Options.Key
// returns them.
type Trace struct {
	// Hit: a tier answered a call, with a value or with not found.
	Hit func(context.Context, HitInfo)

	// Miss: neither tier answered a call. A GetOrLoad goes to the source.
	Miss func(context.Context, MissInfo)

	// Load: a loader returned.
	Load func(context.Context, LoadInfo)

	// Fill: a loaded value was stored, or was not.
	Fill func(context.Context, FillInfo)

	// Wait: a wait for the load of another instance is over.
	Wait func(context.Context, WaitInfo)

	// RemoteError: the remote tier failed, and the call went on without it.
	RemoteError func(context.Context, RemoteErrorInfo)

	// Corrupt: the remote tier held a record for the key that this cache cannot
	// read. The next load replaces the record.
	Corrupt func(context.Context, CorruptInfo)

	// Invalidate: this instance has invalidated keys or tags, in a call, which returns next, or in
	// the background, where a queued invalidation has succeeded. A function can start here what
	// has to follow, such as the removal of answers from an edge cache. After a call that has
	// failed that is needed once more when the invalidation has succeeded, because until then
	// other instances may give the edge old answers: see InvalidateInfo.Late. Reads wait for the
	// function when the remote tier serves again. The context never ends.
	Invalidate func(context.Context, InvalidateInfo)

	// Invalidated: the log delivered that another instance invalidated a key, a tag
	// or the whole cache. Some invalidations are delivered, counted and traced twice:
	// of a tag and of the whole cache, whose second entry is for instances that began
	// to follow the log between the two; and of the keys of a Mutate, before and
	// after the write. Invalidated and Gap have no context of a call. The reader of
	// the log waits for them: they must not make a Cache on the same Remote. They may
	// be called a moment after Close.
	Invalidated func(context.Context, InvalidatedInfo)

	// Gap: invalidations may have been missed, and the local tier was dropped.
	Gap func(context.Context)

	// Evict: an entry made way for another in the local tier.
	Evict func(context.Context, EvictInfo)
}

// contained returns t with functions whose panics are contained.
func (t *Trace) contained(g *hook.Guard) *Trace {
	c := &Trace{
		Hit: hook.Contain(g, t.Hit), Miss: hook.Contain(g, t.Miss), Load: hook.Contain(g, t.Load),
		Fill: hook.Contain(g, t.Fill), Wait: hook.Contain(g, t.Wait), RemoteError: hook.Contain(g, t.RemoteError),
		Corrupt: hook.Contain(g, t.Corrupt), Invalidate: hook.Contain(g, t.Invalidate), Invalidated: hook.Contain(g, t.Invalidated),
		Evict: hook.Contain(g, t.Evict),
	}
	if t.Gap != nil {
		c.Gap = func(ctx context.Context) { g.Call(ctx, t.Gap) }
	}
	return c
}

// Tier is the tier that answered a call.
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

// HitInfo describes a hit.
type HitInfo struct {
	Key      string
	Tier     Tier
	NotFound bool // the source has no such key
	Stale    bool // the TTL of the value has ended, or the copy is not trusted any more: see Options.StaleWhileRevalidate, StaleIfError and StaleIfRemoteDown
}

// MissInfo describes a miss.
type MissInfo struct{ Key string }

// LoadInfo describes a load.
type LoadInfo struct {
	Key  string // the first key of a load for GetOrLoadMany
	Keys int    // how many keys were loaded
	Took time.Duration
	Err  error // the loader's own; nil also if the loader panicked
}

// FillInfo describes the fill of a loaded value.
type FillInfo struct {
	Key     string
	Outcome FillOutcome
	Err     error // of the codec, the tags or the remote tier, if there is one
}

// FillOutcome is the outcome of a fill. In every case the callers received the value.
type FillOutcome int

// The outcomes of a fill.
const (
	Filled        FillOutcome = iota // the value is in the tiers
	FillLocal                        // the value is in the local tier; the remote tier failed
	FillRefused                      // the lease was gone, or a tombstone stands: the value is in no tier
	FillDoomed                       // the key, a tag or the cache was invalidated during the flight, as this instance knows: the value is in no tier, or only in the remote tier if the invalidation came after the fill
	FillFailed                       // the tags are over a limit, the codec failed, or the remote tier failed and the state of the lease is unknown: the value is in no tier
	FillSkipped                      // TTLOf returned no TTL: the value is not to be stored
	FillAbandoned                    // all callers had left, and no Invalidate could doom the flight: the value is in no tier, or only in the remote tier if they left after the fill
	FillTooLarge                     // the payload is over MaxPayload: the value is only in the local tier
)

// WaitInfo describes a wait for another instance's load.
type WaitInfo struct {
	Key  string
	Took time.Duration
	Err  error // nil if the wait ended with the load; otherwise the reason for its end
}

// RemoteErrorInfo describes a failure of the remote tier.
type RemoteErrorInfo struct {
	Op  string // "get", "wait", "lease", "fill", "release", "touch", "tags", "record tags", "invalidate", "invalidate tags", "guard" or "set"
	Err error
}

// CorruptInfo describes a record in the remote tier that cannot be read.
type CorruptInfo struct {
	Key string
	Err error
}

// InvalidateInfo describes an invalidation by this instance, whichever method has made it:
// Invalidate, InvalidateTags, InvalidateAll, Mutate, Set or Redeliver.
type InvalidateInfo struct {
	Keys []string // of this Schema; of a Redeliver, of the Schema of its Undelivered
	Tags []string
	All  bool  // the whole cache
	Late bool  // not in the call that followed the write: queued, by Redeliver, or repeated because the server lost it
	Err  error // a *RemoteError, if the remote tier has not confirmed all of them
}

// InvalidatedInfo describes an invalidation by another instance.
type InvalidatedInfo struct {
	Name string // the key, or the tag: "" is the whole cache
	Tag  bool
}

// EvictInfo describes an eviction from the local tier.
type EvictInfo struct{ Key string }
