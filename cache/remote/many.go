package remote

import (
	"context"
	"time"
)

// Many is the part of a Tier for many keys at once. Each method does for each of its keys what
// the method for one key does, and makes as few round trips as it can. The keys of one call
// differ. One key may fail while another succeeds, so the results are in the order of the keys,
// each with an error of its own. Beyond some hundred keys a method may take more than one
// Budget, while the server answers; once the server does not answer, the keys that are left
// fail without a further attempt. A Tier that wraps another and hands out leases of its own has
// to wrap these methods, too.
type Many interface {
	// GetMany is Get for many keys.
	GetMany(ctx context.Context, keys []string, confirm bool) []Reply

	// LeaseMany is Lease for each of asks, or LeaseBeside.
	LeaseMany(ctx context.Context, asks []LeaseAsk, hold time.Duration) []Reply

	// EndMany ends leases of this Tier, with Fill or with Release.
	EndMany(ctx context.Context, ends []LeaseEnd) []Ended

	// TouchMany is Touch for many keys. It returns how many values it has renewed, and the
	// first error.
	TouchMany(ctx context.Context, keys []string) (renewed int, err error)
}

// Reply is the answer of GetMany or LeaseMany about one key.
type Reply struct {
	Lease  Lease // nil from GetMany
	Record Record
	Err    error
}

// LeaseAsk asks for the lease of a key.
type LeaseAsk struct {
	Key     string
	Replace []byte // a Record.Version, or nil
	Beside  bool   // the lease of the value that Replace names, as LeaseBeside takes it
}

// LeaseEnd is the end of a lease.
type LeaseEnd struct {
	Lease Lease
	Fill  *Fill // nil to release the lease
}

// Ended is the outcome of a LeaseEnd, as Lease.Fill or Lease.Release returns it.
type Ended struct {
	Held bool
	Err  error
}
