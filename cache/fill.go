package cache

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/local"
)

// encode makes a fill of a loaded value. It reports false, and counts and traces why, for a
// value that is not to be stored: an error, a value without a TTL, a value whose tags are
// over a limit or that does not encode, and a value that was invalidated during its load, or
// may have been. The lease keeps an invalidated value out if the deletion of its key reached
// the remote tier. If the deletion failed, only this instance knows.
func (t *fetch[K, V]) encode(ctx context.Context, a answer[V], ttl time.Duration) (fill remote.Fill, ok bool) {
	if ttl == 0 || a.standsIn {
		t.reportSkipped(ctx, a)
		return fill, false
	}
	if !t.checkTags(ctx, a) {
		return fill, false
	}
	if t.flight.Doomed() || t.flight.Abandoned() || t.outdated(a) || t.c.journal.Has(t.remoteKey) {
		t.reportWithheld(ctx, nil)
		return fill, false
	}
	fill = remote.Fill{NotFound: a.notFound(), TTL: ttl, MaxAge: t.c.opts.MaxAge, Window: t.c.windowOf(a.notFound(), ttl), Stamp: t.snap.stamp, Tags: a.entry.tags}
	if t.c.opts.EarlyRevalidation > 0 && !a.notFound() {
		fill.LoadTime = t.took
	}
	if fill.Unchanged = t.unchanged && t.old.replaces() && slices.Equal(a.entry.tags, t.old.entry.tags); fill.Unchanged {
		fill.Payload = t.old.payload
	} else if !a.notFound() {
		var err error
		if fill.Payload, err = encode(t.c.opts.Codec, a.entry.value); err != nil {
			t.c.unencodable(ctx, t.key, err)
			return fill, false
		}
	}
	return fill, true
}

// checkTags reports whether the number of tags of a loaded value, and the length of each
// tag, are within the limits. It counts and traces every value that fails this check, and
// logs only the first such value of the cache.
func (t *fetch[K, V]) checkTags(ctx context.Context, a answer[V]) bool {
	err := checkEntry(a.entry.tags)
	if err == nil {
		return true
	}
	t.c.counters.tagErrors.Add(1)
	t.c.warned.tags.Do(func() {
		t.c.opts.Logger.WarnContext(ctx, "a value is not stored because of its tags; others are counted in Stats.TagErrors",
			"cache", t.c.opts.Name, "error", err)
	})
	t.reportFill(ctx, FillFailed, err)
	return false
}

// fillTiers puts a value that was loaded with a lease into the tiers, while nobody waits.
func (t *fetch[K, V]) fillTiers(ctx context.Context, lease remote.Lease, a answer[V], fill remote.Fill, fits bool) {
	switch {
	case !fits && (a.standsIn || a.entry == nil): // the load has failed
		t.release(ctx, lease)
	case !fits:
		if _, err := t.giveUp(ctx, lease); err != nil {
			t.c.remoteFailed(ctx, "release", err)
		}
	case len(fill.Payload) > t.c.opts.MaxPayload:
		t.c.counters.overMaxPayload.Add(1)
		t.keepUnsent(ctx, lease, a, fill, FillTooLarge, nil)
	default:
		t.fill(ctx, lease, a, fill)
	}
}

// fill stores a loaded value in the remote tier, and then in the local one.
func (t *fetch[K, V]) fill(ctx context.Context, lease remote.Lease, a answer[V], fill remote.Fill) {
	asked := time.Now()
	left := min(fill.TTL, remainder(fill.MaxAge, asked.Sub(t.snap.taken)))
	held, err := t.fillLease(ctx, lease, fill)
	if err != nil {
		t.c.remoteFailed(ctx, "fill", err)
	}
	switch {
	case err != nil && held:
		t.keepOwn(ctx, a, fill, FillLocal, err)
	case err != nil:
		t.keepUnsent(ctx, lease, a, fill, FillLocal, err)
	case !held:
		t.c.counters.refusedFills.Add(1)
		t.reportFill(ctx, FillRefused, nil)
	default:
		rec := remote.Record{Asked: asked, NotFound: fill.NotFound, TTL: fill.TTL, Left: left, Window: fill.Window}
		t.c.endsEarly(a.entry, fill.LoadTime, left-time.Since(asked))
		t.keepLocal(ctx, a, t.c.copyLifetime(rec, t.validAsOf()), Filled, nil)
		t.c.recordLater(ctx, a.entry.tags, t.snap.stamp, a.epoch)
	}
}

func (t *fetch[K, V]) release(ctx context.Context, lease remote.Lease) {
	if _, err := t.releaseLease(ctx, lease); err != nil {
		t.c.remoteFailed(ctx, "release", err)
	}
}

// giveUp ends a lease whose value is not stored. The record beside it goes, too: its load has
// succeeded.
func (t *fetch[K, V]) giveUp(ctx context.Context, lease remote.Lease) (held bool, err error) {
	if t.old.replaces() {
		if held, err = t.fillLease(ctx, lease, remote.Fill{MaxAge: t.c.opts.MaxAge}); err == nil {
			return held, nil
		}
	}
	return t.releaseLease(ctx, lease)
}

// keepUnsent keeps a loaded value in the local tier that the remote tier does not hold, or
// may not hold. The lease fences the value: if the lease stood until its release, nobody had
// invalidated the key by then, and no fill has stored the value, or ever will. After a fill
// whose result is unknown, a lease that is gone may mean that the remote tier has the value:
// the next read finds out.
func (t *fetch[K, V]) keepUnsent(ctx context.Context, lease remote.Lease, a answer[V], fill remote.Fill, outcome FillOutcome, cause error) {
	held, err := t.giveUp(ctx, lease)
	switch {
	case err != nil:
		t.c.remoteFailed(ctx, "release", err)
		t.reportFill(ctx, FillFailed, cmp.Or(cause, err))
	case held:
		t.keepOwn(ctx, a, fill, outcome, cause)
	case cause != nil:
		t.reportFill(ctx, FillFailed, cause)
	default:
		t.c.counters.refusedFills.Add(1)
		t.reportFill(ctx, FillRefused, nil)
	}
}

// keepOwn publishes a loaded value that the remote tier does not hold.
func (t *fetch[K, V]) keepOwn(ctx context.Context, a answer[V], fill remote.Fill, outcome FillOutcome, cause error) {
	t.c.endsEarly(a.entry, fill.LoadTime, min(fill.TTL, fill.MaxAge-time.Since(t.snap.taken)))
	t.keepLocal(ctx, a, t.c.unsentLifetime(fill.TTL, fill.NotFound, t.snap.taken, t.validAsOf()), outcome, cause)
}

// validAsOf is the latest time at which a loaded value is known to be valid by its tags: when
// its load began, or the time up to which the log was delivered. The lease answers for the
// key.
func (t *fetch[K, V]) validAsOf() time.Time {
	_, asOf := t.c.opts.Remote.Delivered(t.c.opts.Name)
	return latest(t.snap.taken, asOf)
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// errNoLocalTier is why a value that the remote tier does not hold was not kept.
var errNoLocalTier = errors.New("cache: RemoteOnly, and the remote tier has not taken the value")

// keepLocal publishes a loaded value in the local tier, and reports outcome, or that the
// value is withheld. A cache without a local tier keeps only a value that the remote tier
// holds.
func (t *fetch[K, V]) keepLocal(ctx context.Context, a answer[V], life lifetime, outcome FillOutcome, err error) {
	if t.c.opts.RemoteOnly && outcome != Filled {
		t.reportFill(ctx, FillFailed, cmp.Or(err, errNoLocalTier))
		return
	}
	if !t.publish(ctx, a, life) {
		t.reportWithheld(ctx, err)
		return
	}
	t.c.counters.fills.Add(1)
	t.reportFill(ctx, outcome, err)
}

// publish stores a value in the local tier, and reports whether it did. It does not if the
// flight is doomed, the cache is being closed, or the value is invalid.
func (t *fetch[K, V]) publish(ctx context.Context, a answer[V], life lifetime) bool {
	cost := t.c.cost(t.key, a.entry)
	a.entry.unsure = life.unsure
	var evicted []local.Evicted[K, *entry[V]]
	kept := !t.c.gate.isClosed() && t.c.invalidations.EntryValid(a.entry.tags, &a.entry.epoch) && (a.from != 0 || !t.outdated(a)) &&
		t.flight.Publish(func() {
			if !t.c.opts.RemoteOnly {
				evicted = t.c.local.Add(t.key, a.entry, cost, life.Lifetime)
			}
		})
	t.c.traceEvicted(ctx, evicted)
	return kept
}

// outdated reports whether a loaded value is invalid, or may be, by a cause that does not
// doom its flight. An invalidation that follows is noticed at the next hit. A gap in the log
// is no cause: the remote tier fences the fill.
func (t *fetch[K, V]) outdated(a answer[V]) bool {
	return t.guarded || t.c.isGuarded(t.key) || t.c.invalidations.DroppedSince(a.entry.tags, a.epoch) ||
		t.c.invalidations.DroppedWithin(a.entry.tags, t.snap.taken, t.c.opts.HoldOff)
}

// reportWithheld reports a value that this instance keeps from later callers, because its
// flight is abandoned or doomed.
func (t *fetch[K, V]) reportWithheld(ctx context.Context, err error) {
	if t.flight.Abandoned() {
		t.c.counters.abandonedFills.Add(1)
		t.reportFill(ctx, FillAbandoned, err)
		return
	}
	t.c.counters.doomedFills.Add(1)
	t.reportFill(ctx, FillDoomed, err)
}

// reportSkipped reports a value that its TTL keeps out of the tiers. An error of the loader,
// and a value in its place, is not reported.
func (t *fetch[K, V]) reportSkipped(ctx context.Context, a answer[V]) {
	if a.err == nil && !a.standsIn {
		t.reportFill(ctx, FillSkipped, nil)
	}
}

func (t *fetch[K, V]) reportFill(ctx context.Context, outcome FillOutcome, err error) {
	if t.c.opts.Trace.Fill != nil {
		t.c.opts.Trace.Fill(ctx, FillInfo{Key: t.c.opts.Key(t.key), Outcome: outcome, Err: err})
	}
}
