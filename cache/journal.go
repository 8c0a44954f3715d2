package cache

import (
	"context"
	"errors"
	"strings"

	"github.com/nearside-go/nearside/cache/remote"
)

// deliverQueued is deliver for the journal.
func (c *Cache[K, V]) deliverQueued(ctx context.Context, names []string) (failed []string, err error) {
	failed, err = c.deliver(ctx, names)
	if made := remote.Without(names, failed); len(made) > 0 {
		c.traceInvalidate(ctx, made, true, nil)
	}
	return failed, err
}

// deliver makes invalidations again that the remote tier has not confirmed. It returns the
// names for which that has failed. It drops nothing: for the journal the local entries went when
// the call failed, and this instance has used no record of the names since; redeliver drops them
// itself.
func (c *Cache[K, V]) deliver(ctx context.Context, names []string) (failed []string, err error) {
	var keys, tags []string
	for _, name := range names {
		if strings.HasPrefix(name, c.tagPrefix) {
			tags = append(tags, name)
		} else {
			keys = append(keys, name)
		}
	}
	outcome := func(op string, names []string, err error) error {
		if err != nil {
			c.remoteFailed(ctx, op, err)
		}
		bad := remote.Failed(names, err)
		c.remember(remote.Without(names, bad), false)
		failed = append(failed, bad...)
		return err
	}
	var keysErr, tagsErr error
	if len(keys) > 0 {
		keysErr = outcome("invalidate", keys, c.opts.Remote.Invalidate(ctx, keys, c.opts.HoldOff))
	}
	if len(tags) > 0 {
		tagsErr = outcome("invalidate tags", tags, c.declare(ctx, tags))
	}
	return failed, errors.Join(keysErr, tagsErr)
}
