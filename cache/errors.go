package cache

import "errors"

var (
	// ErrMiss is returned by Get when neither tier has the key.
	ErrMiss = errors.New("cache: miss")

	// ErrNotFound says that the source has no such key. A loader returns it,
	// wrapped or not, and the cache remembers that for Options.NotFoundTTL; Get
	// and GetOrLoad return it for a key that is remembered so.
	ErrNotFound = errors.New("cache: not found")

	// ErrClosed is returned by every call that starts after Close.
	ErrClosed = errors.New("cache: closed")

	// ErrFollowed is returned by New when the Remote serves another Cache of that
	// name, which is not closed yet, and by a Remote's Follow then. Of two, each would
	// take the other's invalidations for its own, and serve what they declared wrong.
	ErrFollowed = errors.New("cache: Name: another Cache of this name uses this Remote: share it, close it first, or give each a Store of its own")

	// ErrUnavailable is returned by a Remote that did not try, because it knows
	// its server to be ill. Callers meet it inside a RemoteError.
	ErrUnavailable = errors.New("cache: the remote tier is unavailable")

	// ErrBudget is the cause (see context.Cause) of a context that ends because
	// a call has spent its budget on the remote tier. A Remote that learns from
	// its failures learns from these, and not from its callers' own ends.
	ErrBudget = errors.New("cache: the budget of the remote tier is spent")
)

// RemoteError is returned by Invalidate and what is like it when the remote tier failed.
// Reads never return it: they go to the source.
type RemoteError struct {
	Op  string // what was tried: "invalidate", "invalidate tags" or "set"
	Err error  // what the Remote said
}

// Error returns the operation and the cause. It names no keys.
func (e *RemoteError) Error() string { return "cache: remote " + e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *RemoteError) Unwrap() error { return e.Err }
