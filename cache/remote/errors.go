package remote

import "errors"

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
