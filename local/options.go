package local

import (
	"errors"
	"time"
)

// DefaultMaxEntries is the limit of a store whose Options leave MaxEntries at zero.
const DefaultMaxEntries = 10_000

// Options bound a Store. The zero value is a store of DefaultMaxEntries
// entries, without a limit on cost and without a bound on lifetimes, whose Policy is LRU.
type Options struct {
	// MaxEntries is the largest number of entries that the store holds; 0 means
	// DefaultMaxEntries.
	MaxEntries int

	// MaxCost is the largest sum of the costs of all entries, in the unit that the callers
	// of Add use; 0 means no limit.
	MaxCost int64

	// Policy chooses the entries that are evicted. The zero value is LRU.
	Policy Policy

	// TTL is the longest time that any entry is served, counted from Add; reads do not
	// renew it, and no Window goes beyond it. 0 means that each entry's own Lifetime decides.
	TTL time.Duration
}

// Policy chooses the entries that are evicted to make room for others.
type Policy int

const (
	// LRU evicts the least recently used entry.
	LRU Policy = iota

	// TwoQueue evicts entries that were added once before entries that were added again. An
	// added entry enters a queue. While the queue holds more than a twentieth of all entries,
	// the entry that was added first is evicted, even if it was read in between. Its key is
	// noted, and so is the key of an entry that is removed, or has expired, until half as
	// many others were noted as the store has entries. If the key is added again in that
	// time, its entry enters an LRU, which has the rest of the space.
	//
	// Choose TwoQueue for many more keys than the store has room for, if some are read far more
	// often than others, or if scans and loops over all keys are among the reads. In all these
	// cases TwoQueue has more hits than LRU. LRU has more hits if most keys are read a few times
	// within a short while, and then no more. docs/performance.md has figures for both.
	//
	// A key has to be loaded twice before its entry stays, and an Add costs more. A noted key
	// takes 8 bytes, and there is room for as many as there are entries, or up to twice as many.
	TwoQueue
)

// Validate returns every problem of the options, joined, or nil.
func (o Options) Validate() error {
	var problems []error
	if o.MaxEntries < 0 {
		problems = append(problems, errors.New("local: MaxEntries is negative"))
	}
	if o.MaxCost < 0 {
		problems = append(problems, errors.New("local: MaxCost is negative"))
	}
	if o.Policy != LRU && o.Policy != TwoQueue {
		problems = append(problems, errors.New("local: Policy is unknown"))
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
