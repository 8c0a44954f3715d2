package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
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
	errTagLength = fmt.Errorf("cache: a tag is empty or longer than %d bytes", MaxTagLength)
	errTagCount  = fmt.Errorf("cache: a value has more than %d tags", MaxTags)
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

// tagged reports whether the tags of a loaded value are within the limits; if not
// it counts and traces that.
func (t *fetch[K, V]) tagged(ctx context.Context, a answer[V]) bool {
	err := checkEntry(a.entry.tags)
	if err == nil {
		return true
	}
	t.c.counters.tagErrors.Add(1)
	t.c.opts.Logger.WarnContext(ctx, "value with unusable tags", "cache", t.c.opts.Name, "error", err)
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
		if t.c.distrusted.has(t.c.tagPrefix + tag) {
			return false, at
		}
	}
	if t.c.distrusted.has(t.c.tagPrefix) {
		return false, at
	}
	j := t.c.known.judge(rec.Stamp, rec.Tags)
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
// it takes and which errors it returns are the same. An empty tag, one that is
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
	if err = c.settle(ctx, "invalidate tags", names, mark, err); err == nil {
		for _, tag := range tags {
			c.known.told(tag, at)
		}
	}
	c.known.drop(tags...)
	return err
}

// keepTags is how long the positions of tags are recorded: for as long as a value
// can live that was filled before the record is renewed.
func (c *Cache[K, V]) keepTags() time.Duration { return 2 * c.opts.MaxAge }

// recorded are the tags whose positions this instance has seen to be recorded of
// late.
type recorded struct {
	mu   sync.Mutex // guards all below
	when map[string]time.Time
}

// due returns those of tags that were not recorded within every, and "", which
// stands for the whole cache, likewise.
func (r *recorded) due(tags []string, every time.Duration) (due []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, tag := range append([]string{""}, tags...) {
		if when, ok := r.when[tag]; !ok || now.Sub(when) >= every {
			due = append(due, tag)
		}
	}
	return due
}

func (r *recorded) done(tags []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.when == nil || len(r.when) > maxKnownTags {
		r.when = make(map[string]time.Time)
	}
	now := time.Now()
	for _, tag := range tags {
		r.when[tag] = now
	}
}

// recordTakes bounds how long a tag is barred while its position is being recorded.
const recordTakes = 10 * time.Second

// record sees to it that the remote tier has positions for the tags of a value that
// was filled, for those who start later: a tag without one makes its values misses. It
// says that they were last invalidated at the value's stamp. They may have been before;
// that they were not since, it makes sure:
//
//  1. Another instance invalidates a tag, at a later position, and records that.
//  2. The remote tier evicts the record.
//  3. This one has not been told yet, and records the tag at the stamp.
//
// Whoever starts then would take older values of the tag for right. So it bars the tag
// first, with a record by which nothing is right. What was invalidated before that is
// in the log by then, and it waits until it has been told of all of that. What is
// invalidated after, or evicted, takes the bar away, and only the bar is replaced.
func (c *Cache[K, V]) record(ctx context.Context, tags []string, stamp Position, since uint64) {
	due := c.recorded.due(tags, c.opts.MaxAge/2)
	if len(due) == 0 || !c.known.complete(stamp) {
		return
	}
	names, bar := c.tagNames(due), Position{math.MaxUint64, rand.Uint64()}
	err := c.opts.Remote.RecordTags(ctx, Position{}, bar, recordTakes, names...)
	if err == nil {
		err = c.unbar(ctx, tags, names, bar, stamp, since)
	}
	if err == nil {
		c.recorded.done(due)
	} else if err != errChanged {
		c.remoteFailed(ctx, "record tags", err)
	}
}

// errChanged says that a tag may have been invalidated since the load of its value.
var errChanged = errors.New("cache: a tag may have changed")

func (c *Cache[K, V]) unbar(ctx context.Context, tags, names []string, bar, stamp Position, since uint64) error {
	end, err := c.opts.Remote.End(ctx, c.opts.Name)
	if err != nil {
		return err
	}
	if !c.unchanged(tags, since, stamp, end) {
		return errChanged
	}
	return c.opts.Remote.RecordTags(ctx, bar, stamp, c.keepTags(), names...)
}

// unchanged reports whether no tag was dropped since, up to the end of the log. What is
// missing for that comes within milliseconds, or it does not know.
func (c *Cache[K, V]) unchanged(tags []string, since uint64, stamp, end Position) bool {
	until := time.Now().Add(c.opts.Remote.Budget())
	for {
		told, _ := c.opts.Remote.Told(c.opts.Name)
		if !told.Before(end) {
			return c.known.complete(stamp) && !c.known.dropped(tags, since)
		}
		if time.Now().After(until) {
			return false
		}
		time.Sleep(time.Millisecond)
	}
}
