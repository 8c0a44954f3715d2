package local

import (
	"errors"
	"time"
)

// DefaultMaxEntries is the limit of a store whose Options leave MaxEntries at zero.
const DefaultMaxEntries = 10_000

// Options bound a Store. The zero value is a store of DefaultMaxEntries
// entries, without a limit on cost and without a bound on lifetimes.
type Options struct {
	// MaxEntries is the largest number of entries that the store holds; 0 means
	// DefaultMaxEntries.
	MaxEntries int

	// MaxCost is the largest sum of the costs of all entries, in the unit that the callers
	// of Add use; 0 means no limit.
	MaxCost int64

	// TTL is the longest time that any entry is served, counted from Add; reads do not
	// renew it, and no Window goes beyond it. 0 means that each entry's own Lifetime decides.
	TTL time.Duration
}

// Validate returns every problem of the options, joined, or nil.
func (o Options) Validate() error {
	var problems []error
	if o.MaxEntries < 0 {
		problems = append(problems, errors.New("local: MaxEntries is negative"))
	}
	if o.MaxCost < 0 {
		problems = append(problems, errors.New("local: MaxCost is negative"))
	}
	if o.TTL < 0 {
		problems = append(problems, errors.New("local: TTL is negative"))
	}
	return errors.Join(problems...)
}

// Lifetime bounds how long an entry is served.
type Lifetime struct {
	// TTL counts from Add, or from the last Get if Slides is set. A negative TTL ended that
	// long before Add. An entry whose TTL and Window have both ended is not stored.
	TTL time.Duration

	// Window is for how long after the end of its TTL, or of its MaxAge, the entry is kept
	// for Stale. Get does not return the entry then. 0 means that the entry ends with its TTL.
	Window time.Duration

	// Slides restarts the TTL of the entry at every Get that returns the entry.
	Slides bool

	// MaxAge ends the entry, counted from Add, even if the entry is read often; 0 means no
	// such end.
	MaxAge time.Duration

	// RenewEvery makes Lookup report that the entry is due for renewal, to one caller in
	// each such period, give or take 10 ms. The first report comes RenewIn after Add. 0
	// means never.
	RenewEvery time.Duration
	RenewIn    time.Duration
}
