package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The limits of tags. A value that is over them is returned and not stored.
const (
	// MaxTags is how many tags a value may have.
	MaxTags = 128

	// MaxTagLength is how many bytes a tag may have. It has at least one.
	MaxTagLength = 512
)

// What is wrong with tags.
var (
	errTagLength = fmt.Errorf("cache: a tag is empty or longer than %d bytes: give it a shorter one, such as a hash", MaxTagLength)
	errTagCount  = fmt.Errorf("cache: a value has more than %d tags: give it fewer, or one tag for the whole list", MaxTags)
)

func checkTags(tags []string) error {
	if slices.ContainsFunc(tags, func(tag string) bool { return tag == "" || len(tag) > MaxTagLength }) {
		return errTagLength
	}
	return nil
}

// newEntry makes an entry of a value, with its tags.
func (c *Cache[K, V]) newEntry(key K, value V) *entry[V] {
	e := &entry[V]{value: value}
	if c.opts.Tags != nil {
		e.tags = slices.Clone(c.opts.Tags(key, value))
		slices.Sort(e.tags)
		e.tags = slices.Compact(e.tags)
	}
	return e
}

// tagged reports whether the tags of a loaded value are within the limits. It counts and
// traces each value that is over one, and logs the first.
func (t *fetch[K, V]) tagged(ctx context.Context, a answer[V]) bool {
	err := checkEntry(a.entry.tags)
	if err == nil {
		return true
	}
	t.c.counters.tagErrors.Add(1)
	t.c.warned.tags.Do(func() {
		t.c.opts.Logger.WarnContext(ctx, "a value is not stored because of its tags; others are counted in Stats.TagErrors",
			"cache", t.c.opts.Name, "error", err)
	})
	t.filled(ctx, FillFailed, err)
	return false
}

func checkEntry(tags []string) error {
	if len(tags) > MaxTags {
		return errTagCount
	}
	return checkTags(tags)
}

// isRight reports whether a record was not declared wrong by a tag, or with the
// whole cache, and at which time it was not. If what this instance knows does not
// tell, it asks the remote tier, within the budget; what that cannot tell either is
// wrong.
func (t *fetch[K, V]) isRight(ctx context.Context, rec Record) (right bool, at time.Time) {
	for _, tag := range rec.Tags {
		if t.c.distrusts(ctx, t.c.tagPrefix+tag) {
			return false, at
		}
	}
	if t.c.distrusts(ctx, t.c.tagPrefix) {
		return false, at
	}
	j := t.c.known.judge(rec.Stamp, rec.Tags, rec.Complete || t.live)
	if j.wrong || len(j.unknown) == 0 {
		return !j.wrong, t.heard
	}
	known := t.heard
	if !j.follows {
		known = rec.Asked // then it asks about every tag
	}
	var answers []*Position
	err := t.budget.spend(func() (err error) {
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), t.budget.left, ErrBudget)
		defer cancel()
		answers, err = t.c.opts.Remote.TagPositions(ctx, t.c.tagNames(j.unknown)...)
		return err
	})
	if t.check(ctx, "tags", Record{}, err) != nil {
		return false, at
	}
	return t.c.known.learn(j, rec.Stamp, answers), known
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func (c *Cache[K, V]) tagNames(tags []string) []string {
	names := make([]string, len(tags))
	for i, tag := range tags {
		names[i] = c.tagPrefix + tag
	}
	return names
}

// errNoTags is returned by InvalidateTags.
var errNoTags = errors.New("cache: InvalidateTags needs Options.Tags")

// InvalidateTags declares every value wrong that has one of tags, by what
// Options.Tags says of it, on every instance, also those that start later, and in
// both tiers. It costs the same for many values as for few: nothing is deleted, but
// a value that was loaded before is a miss from then on, and makes way for the next
// load. Not found has no tags.
//
// Call it like Invalidate after the write has committed; what it promises, how long
// it takes, which errors it returns, and that reads try again after one, are the same. An empty tag, one that is
// longer than MaxTagLength, and a Cache without Options.Tags are errors too, with
// nothing invalidated.
func (c *Cache[K, V]) InvalidateTags(ctx context.Context, tags ...string) error {
	if c.opts.Tags == nil {
		return errNoTags
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	return c.invalidateTags(ctx, tags)
}

// InvalidateAll declares every value of the cache wrong, as InvalidateTags does for
// a tag that all have, not found included.
func (c *Cache[K, V]) InvalidateAll(ctx context.Context) error {
	return c.invalidateTags(ctx, []string{""})
}

// invalidateTags drops tags twice, like overwrite does with keys, and for the same
// reason.
func (c *Cache[K, V]) invalidateTags(ctx context.Context, tags []string) error {
	if !c.gate.enter() {
		return ErrClosed
	}
	defer c.gate.leave()
	if len(tags) == 0 {
		return nil
	}
	c.known.drop(tags...)
	if c.opts.Remote == nil {
		return nil
	}
	names := c.tagNames(tags)
	mark := c.distrusted.now()
	at, err := c.opts.Remote.InvalidateTags(context.WithoutCancel(ctx), names, c.keepTags())
	if err == nil { // told before it is settled: see retry
		for _, tag := range tags {
			c.known.told(tag, at)
		}
	}
	err = c.settle(ctx, "invalidate tags", names, mark, err)
	if err == nil && slices.Contains(tags, "") {
		c.distrusted.settleAll(mark)
	}
	c.known.drop(tags...)
	return err
}

// keepTags is how long the positions of tags are recorded: for as long as a value
// can live that was filled before the record is renewed.
func (c *Cache[K, V]) keepTags() time.Duration { return times(c.opts.MaxAge, 2) }
