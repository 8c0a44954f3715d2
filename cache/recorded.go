package cache

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// recordTakes bounds how long a tag is barred while its position is being recorded.
const recordTakes = 10 * time.Second

// recorded says when the positions of tags are next to be recorded by this instance.
type recorded struct {
	mu   sync.Mutex // guards next
	next map[string]time.Time
}

// claim returns those of tags, and of "", which stands for the whole cache, that are to
// be recorded, and claims them for as long as that may take.
func (r *recorded) claim(tags []string) (due []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, tag := range append([]string{""}, tags...) {
		if !now.Before(r.next[tag]) {
			due = append(due, tag)
		}
	}
	r.setLocked(due, now.Add(recordTakes))
	return due
}

// done notes that tags need not be recorded for a while.
func (r *recorded) done(tags []string, while time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setLocked(tags, time.Now().Add(while))
}

// setLocked forgets some of the tags when there are too many: they are recorded once
// more.
func (r *recorded) setLocked(tags []string, next time.Time) {
	if r.next == nil {
		r.next = make(map[string]time.Time)
	}
	if len(r.next) > maxKnownTags {
		for tag := range r.next {
			delete(r.next, tag)
			if len(r.next) <= maxKnownTags/2 {
				break
			}
		}
	}
	for _, tag := range tags {
		r.next[tag] = next
	}
}

// record sees to it that the remote tier has positions for those of the tags of a value
// that are due, when it was filled, for those who start later: a tag without one makes its
// values misses. It says that they were last invalidated at the value's stamp. They may
// have been before; that they were not since, it makes sure:
//
//  1. Another instance invalidates a tag, at a later position, and records that.
//  2. The remote tier evicts the record.
//  3. This one has not been told yet, and records the tag at the stamp.
//
// Whoever starts then would take older values of the tag for right. So it bars the tag
// first, with a record by which nothing is right. What was invalidated before that is
// in the log by then, and it waits until it has been told of all of that. What is
// invalidated after, or evicted, takes the bar away, and only the bar is replaced.
func (c *Cache[K, V]) record(ctx context.Context, due, tags []string, stamp Position, since uint64) {
	names, bar := c.tagNames(due), Position{math.MaxUint64, rand.Uint64()}
	err := c.opts.Remote.RecordTags(ctx, Position{}, bar, recordTakes, names...)
	if err == nil {
		if err = c.unbar(ctx, tags, names, bar, stamp, since); err != nil {
			_ = c.opts.Remote.RecordTags(ctx, bar, Position{}, 0, names...) // or it lapses
		}
	}
	if err == nil {
		err = c.areRecorded(ctx, names)
	}
	switch err {
	case nil:
		c.recorded.done(due, c.opts.MaxAge/2)
	case errChanged:
		c.recorded.done(due, 0)
	default:
		c.remoteFailed(ctx, "record tags", err)
	}
}

// maxRecordings bounds the recordings that run side by side. One that finds no place is
// left to the next fill.
const maxRecordings = 64

// recordLater records in the background what is due of tags: nobody has to wait for it.
func (c *Cache[K, V]) recordLater(ctx context.Context, tags []string, stamp Position, since uint64) {
	if !c.known.complete(stamp) || !c.gate.enter() {
		return
	}
	done := func() {
		c.recording.Add(-1)
		c.gate.leave()
	}
	var due []string
	if c.recording.Add(1) <= maxRecordings {
		due = c.recorded.claim(tags)
	}
	if len(due) == 0 {
		done()
		return
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer done()
		c.record(ctx, due, tags, stamp, since)
	}()
}

// areRecorded makes sure that there are positions. Somebody else's bar may stand there, who
// has not come to replace it.
func (c *Cache[K, V]) areRecorded(ctx context.Context, names []string) error {
	at, err := c.opts.Remote.TagPositions(ctx, names...)
	if err == nil && slices.ContainsFunc(at, func(p *Position) bool { return p == nil || p.Never() }) {
		return errChanged
	}
	return err
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
