package cache

import (
	"errors"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/loader"
)

var (
	// ErrMiss is returned by Get when neither tier has the key.
	ErrMiss = errors.New("cache: miss")

	// ErrNotFound reports that the source has no such key. A loader returns
	// ErrNotFound, wrapped or not, and the cache remembers that for
	// Options.NotFoundTTL. Until then Get and GetOrLoad return ErrNotFound for the key.
	ErrNotFound = loader.ErrNotFound

	// ErrNotModified reports that the value that [Previous] returns is still the source's. A
	// loader returns ErrNotModified, wrapped or not, in place of a value, and the cache stores
	// and returns the previous value as if the loader had loaded it. Without a previous value
	// ErrNotModified is an error of the loader like any other.
	ErrNotModified = errors.New("cache: not modified")

	// ErrClosed is returned by every call that starts after Close.
	ErrClosed = errors.New("cache: closed")

	// ErrFollowed is returned by New if the Remote serves another Cache of that name,
	// which is not closed yet. Each of two such Caches would take the other's
	// invalidations for its own, and go on serving its local copies.
	ErrFollowed = remote.ErrFollowed

	// ErrUnavailable is inside the RemoteError of a call whose command was not sent,
	// because the Remote's server does not serve at present.
	ErrUnavailable = remote.ErrUnavailable

	// ErrRefused is inside the RemoteError of a call whose command the Remote's server
	// refuses to this user, or does not know: somebody has to change the server's
	// configuration.
	ErrRefused = remote.ErrRefused

	// ErrQueued is inside the RemoteError of an invalidation that the Cache goes on
	// attempting in the background, and that is expected to succeed when the remote tier
	// serves again. It is not inside the error of an invalidation that the server refuses, nor
	// inside an error of Redeliver.
	ErrQueued = errors.New("cache: the invalidation is queued")
)

// RemoteError is returned by Invalidate, InvalidateTags, InvalidateAll, Mutate, Set and Redeliver
// if the remote tier failed. Reads never return a RemoteError: they go to the source.
type RemoteError struct {
	Cache string // Options.Name
	Op    string // the operation: "invalidate", "invalidate tags", "set" or "redeliver"
	Err   error  // the Remote's error
}

// Error returns the cache, the operation, the cause, and whether the invalidation is queued,
// without keys.
func (e *RemoteError) Error() string {
	text := "cache: " + e.Cache + ": remote " + e.Op + ": " + e.Err.Error()
	if e.Is(ErrQueued) {
		text += "; the invalidation is queued"
	}
	return text
}

// Is reports whether target is ErrQueued and the invalidation is queued.
func (e *RemoteError) Is(target error) bool {
	return target == ErrQueued && e.Op != opRedeliver && !errors.Is(e.Err, ErrRefused)
}

// Unwrap returns the cause.
func (e *RemoteError) Unwrap() error { return e.Err }
