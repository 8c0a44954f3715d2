package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nearside-go/nearside/cache/remote"
)

// deliver makes invalidations again that the remote tier has not confirmed. It returns the
// names for which that has failed. It drops nothing: the local entries went when the call
// failed, and this instance has used no record of the names since.
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

// Undelivered are invalidations that the remote tier has not confirmed, and that the Cache
// does not attempt any more. Other instances may go on reading the old values for MaxAge
// and the longer window. Another instance, or a later process, can make the invalidations, for example from a queue.
//
// As an error, Undelivered is returned by Close.
type Undelivered struct {
	Cache string   // Options.Name
	Keys  []string // as Options.Key writes them
	Tags  []string
	All   bool // the whole cache, because of InvalidateAll or of too many keys and tags
}

// Error returns how many invalidations there are. It names no keys.
func (u *Undelivered) Error() string {
	if u.All {
		return "cache: closed before the remote tier has confirmed an invalidation of the whole cache"
	}
	return fmt.Sprintf("cache: closed before the remote tier has confirmed the invalidation of %d keys and %d tags", len(u.Keys), len(u.Tags))
}

// undelivered returns the Undelivered of names; nil if there are none.
func (c *Cache[K, V]) undelivered(names []string) *Undelivered {
	if len(names) == 0 {
		return nil
	}
	u := &Undelivered{Cache: c.opts.Name}
	for _, name := range names {
		tag, isTag := strings.CutPrefix(name, c.tagPrefix)
		switch {
		case !isTag:
			u.Keys = append(u.Keys, strings.TrimPrefix(name, c.prefix))
		case tag == "":
			u.All = true
		default:
			u.Tags = append(u.Tags, tag)
		}
	}
	return u
}

// abandon hands the hook the invalidations that are not attempted any more, or not one by
// one.
func (c *Cache[K, V]) abandon(ctx context.Context, u *Undelivered) {
	if u != nil && c.opts.DeadLetters != nil {
		c.opts.DeadLetters(ctx, *u)
	}
}
