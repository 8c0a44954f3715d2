package remote

import (
	"errors"
	"slices"
)

var (
	// ErrFollowed is returned by Follow for a name that already has a follower.
	ErrFollowed = errors.New("cache: Name: another Cache of this name uses this Remote: share it, close it first, or give each a Store of its own")

	// ErrUnavailable is returned by a Tier that did not send a command, because its server
	// failed a short time ago. The command was not carried out.
	ErrUnavailable = errors.New("cache: the remote tier is unavailable")

	// ErrRefused is inside the error of a command that the server refuses to this user, or
	// does not know. It fails until somebody changes the server's configuration.
	ErrRefused = errors.New("cache: the remote tier refuses the command")

	// ErrBudget is the cause (see context.Cause) of a context that ends because a call has
	// spent its budget on the remote tier. A Tier that counts the failures of its server,
	// as a circuit breaker does, counts a command that ended with this cause. It does not
	// count a command that ended because the caller's own context ended.
	ErrBudget = errors.New("cache: the budget of the remote tier is spent")
)

// PartialError is the error of a call with several keys, or tags, that has failed for some of
// them only, as when one node of several is down. For the others the call has succeeded.
type PartialError struct {
	Failed []string // the keys or tags for which the call has failed
	Err    error
}

// Error returns the cause. It names no keys.
func (e *PartialError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// Failed returns those of names for which a call has failed that returned err: none if err is
// nil, and all of them unless err is a PartialError.
func Failed(names []string, err error) []string {
	if err == nil {
		return nil
	}
	if some, is := errors.AsType[*PartialError](err); is {
		return some.Failed
	}
	return names
}

// Without returns names without those that have failed.
func Without(names, failed []string) []string {
	switch len(failed) {
	case 0:
		return names
	case len(names):
		return nil
	}
	has := make(map[string]struct{}, len(failed))
	for _, name := range failed {
		has[name] = struct{}{}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, is := has[name]
		return is
	})
}
