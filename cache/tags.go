package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nearside-go/nearside/cache/internal/validity"
	"github.com/nearside-go/nearside/cache/remote"
)

// The limits of tags. A value over a limit is returned, and not stored.
const (
	// MaxTags is how many tags a value may have.
	MaxTags = remote.MaxTags

	// MaxTagLength is how many bytes a tag may have. A tag has at least one.
	MaxTagLength = remote.MaxTagLength
)

var (
	errTagLength = fmt.Errorf("cache: a tag is empty or longer than %d bytes: give it a shorter one, such as a hash", MaxTagLength)
	errTagCount  = fmt.Errorf("cache: a value has more than %d tags: give it fewer, or one tag for the whole list", MaxTags)
	errNoTags    = errors.New("cache: InvalidateTags needs Options.Tags")
)

// InvalidateTags invalidates every value that carries one of tags, as Options.Tags returned
// them, in both tiers, on every instance, and on instances that start later. The cost does
// not depend on the number of values: InvalidateTags deletes nothing. A value that was loaded
// before is a miss from then on, and the next load replaces it. A key that is remembered as
// not found has no tags.
//
// Call InvalidateTags after the write has committed. Its guarantee, its duration, its errors
// and the retries after an error are those of Invalidate. An empty tag, a tag that is longer
// than MaxTagLength, and a Cache without Options.Tags are errors too, with nothing
// invalidated.
func (c *Cache[K, V]) InvalidateTags(ctx context.Context, tags ...string) error {
	if c.opts.Tags == nil {
		return errNoTags
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	return c.invalidateTags(ctx, tags)
}

// InvalidateAll invalidates every value of the cache, and every key that is remembered as
// not found, as InvalidateTags does for a tag that all values carry.
func (c *Cache[K, V]) InvalidateAll(ctx context.Context) error {
	return c.invalidateTags(ctx, []string{""})
}

func (c *Cache[K, V]) invalidateTags(ctx context.Context, tags []string) error {
	if !c.gate.enter() {
		return ErrClosed
	}
	defer c.gate.leave()
	return c.overwrite(ctx, "invalidate tags", c.tagNames(tags), func() { c.invalidations.Drop(tags...) }, c.declare)
}

// declare invalidates tags in the remote tier, and notes their position. So the position is
// noted before the tags are confirmed. In the other order:
//
//  1. The tag is confirmed.
//  2. A call begins, and reads a record with the tag. The record passes the check.
//  3. The position is noted, by which the record is invalid.
func (c *Cache[K, V]) declare(ctx context.Context, names []string) error {
	at, err := c.opts.Remote.InvalidateTags(ctx, names, c.keepTags())
	for _, name := range remote.Without(names, remote.Failed(names, err)) {
		c.invalidations.NotePosition(strings.TrimPrefix(name, c.tagPrefix), at)
	}
	return err
}

// keepTags is how long the positions of tags are kept: as long as a value can live that was
// filled before the position is recorded again.
func (c *Cache[K, V]) keepTags() time.Duration { return times(c.longestLife(), 2) }

func (c *Cache[K, V]) tagNames(tags []string) []string {
	names := make([]string, len(tags))
	for i, tag := range tags {
		names[i] = c.tagPrefix + tag
	}
	return names
}

// newEntry makes an entry of a value, with its tags sorted.
func (c *Cache[K, V]) newEntry(key K, value V) *entry[V] {
	e := &entry[V]{value: value}
	if c.opts.Tags != nil {
		e.tags = slices.Clone(c.opts.Tags(key, value))
		slices.Sort(e.tags)
		e.tags = slices.Compact(e.tags)
	}
	return e
}

// checkEntry returns an error for the tags of a value that are over a limit.
func checkEntry(tags []string) error {
	if len(tags) > MaxTags {
		return errTagCount
	}
	return checkTags(tags)
}

func checkTags(tags []string) error {
	if slices.ContainsFunc(tags, func(tag string) bool { return tag == "" || len(tag) > MaxTagLength }) {
		return errTagLength
	}
	return nil
}

// maxRecordings bounds the recordings that run at the same time. A recording that finds no
// place is left to the next fill.
const maxRecordings = 64

// recordLater records positions in the background for the tags of a value that was just
// filled, as far as they are due.
func (c *Cache[K, V]) recordLater(ctx context.Context, tags []string, stamp remote.Position, epoch uint64) {
	if !c.invalidations.CompleteSince(stamp) || !c.gate.enter() {
		return
	}
	done := func() {
		c.recording.Add(-1)
		c.gate.leave()
	}
	var due []string
	if c.recording.Add(1) <= maxRecordings {
		due = c.recorder.Due(tags)
	}
	if len(due) == 0 {
		done()
		return
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer done()
		if err := c.recorder.Record(ctx, due, tags, stamp, epoch); err != nil && err != validity.ErrChanged {
			c.remoteFailed(ctx, "record tags", err)
		}
	}()
}
