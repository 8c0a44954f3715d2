package cache

import (
	"errors"

	"github.com/nearside-go/nearside/cache/remote"
)

var (
	// ErrMiss is returned by Get when neither tier has the key.
	ErrMiss = errors.New("cache: miss")

	// ErrNotFound reports that the source has no such key. A loader returns
	// ErrNotFound, wrapped or not, and the cache remembers that for
	// Options.NotFoundTTL. Until then Get and GetOrLoad return ErrNotFound for the key.
	ErrNotFound = errors.New("cache: not found")

	// ErrClosed is returned by every call that starts after Close.
	ErrClosed = errors.New("cache: closed")

	// ErrFollowed is returned by New if the Remote serves another Cache of that name,
	// which is not closed yet. Each of two such Caches would take the other's
	// invalidations for its own, and go on serving its local copies.
	ErrFollowed = remote.ErrFollowed

	// ErrUnavailable is inside the RemoteError of a call whose command was not sent,
	// because the Remote's server does not serve at present.
	ErrUnavailable = remote.ErrUnavailable
)

// RemoteError is returned by Invalidate, InvalidateTags, InvalidateAll, Mutate and Set if the
// remote tier failed. Reads never return a RemoteError: they go to the source.
type RemoteError struct {
	Op  string // the operation: "invalidate", "invalidate tags" or "set"
	Err error  // the Remote's error
}

// Error returns the operation and the cause, without keys.
func (e *RemoteError) Error() string { return "cache: remote " + e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *RemoteError) Unwrap() error { return e.Err }
