package cache

import (
	"context"
	"strings"
)

// isUnconfirmed reports whether the remote tier may hold invalid values for name, of a key or
// of a tag, because it has not confirmed an invalidation. If so, isUnconfirmed starts an
// attempt to invalidate name again, when an attempt is due: one failure must not keep this
// instance from the remote tier for MaxAge.
func (c *Cache[K, V]) isUnconfirmed(ctx context.Context, name string) bool {
	if !c.unconfirmed.Has(name) {
		return false
	}
	if c.unconfirmed.HasAll() {
		name = c.tagPrefix
	}
	if !c.gate.enter() {
		return true
	}
	if !c.retries.Claim(name) {
		c.gate.leave()
		return true
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer c.gate.leave()
		succeeded := false
		defer func() { c.retries.Done(name, succeeded) }()
		succeeded = c.retry(ctx, name)
	}()
	return true
}

// retry invalidates an unconfirmed name again, and confirms the name if that succeeds. The
// position of a tag is noted before the tag is confirmed, because the call that failed has
// returned. In the other order:
//
//  1. The tag is confirmed.
//  2. A call begins, and reads a record with the tag. The record passes the check.
//  3. The position is noted, by which the record is invalid.
//
// retry drops nothing: the local entries went when the call failed, and this instance has
// used no record of the name since.
func (c *Cache[K, V]) retry(ctx context.Context, name string) (succeeded bool) {
	round := c.unconfirmed.Round()
	names := []string{name}
	tag, isTag := strings.CutPrefix(name, c.tagPrefix)
	if !isTag {
		if err := c.opts.Remote.Invalidate(ctx, names, c.opts.HoldOff); err != nil {
			c.remoteFailed(ctx, "invalidate", err)
			return false
		}
		c.unconfirmed.Confirm(names, round)
		return true
	}
	at, err := c.opts.Remote.InvalidateTags(ctx, names, c.keepTags())
	if err != nil {
		c.remoteFailed(ctx, "invalidate tags", err)
		return false
	}
	c.invalidations.NotePosition(tag, at)
	c.unconfirmed.Confirm(names, round)
	if tag == "" {
		c.unconfirmed.ConfirmAll(round)
	}
	return true
}
