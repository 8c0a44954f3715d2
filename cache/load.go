package cache

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/nearside-go/nearside/local"
)

// loadAlone loads without a lease. With keep the value goes into the local
// tier; without, in none.
func (t *fetch[K, V]) loadAlone(ctx context.Context, keep bool) (a answer[V], err error) {
	err = t.c.limit.Run(ctx, func(ctx context.Context) {
		var ttl time.Duration
		a, ttl = t.callLoader(ctx)
		switch {
		case ttl == 0 || t.key != t.key:
			t.notStored(ctx, a)
		case !t.tagged(ctx, a):
		case !keep:
			t.c.counters.refusedFills.Add(1)
			t.filled(ctx, FillRefused, nil)
		default:
			outcome := Filled
			if t.c.opts.Remote != nil {
				outcome = FillLocal
			}
			t.keepLoaded(ctx, a, t.c.aloneLife(ttl, a.notFound(), t.began), outcome, nil)
		}
	})
	return a, err
}

// loadUnder loads under lease, and delivers the result. It returns what is to be filled
// with it, or false if that is nothing.
func (t *fetch[K, V]) loadUnder(ctx context.Context, lease Lease) (a answer[V], fill Fill, fits bool) {
	// The value is worth storing, and a lease worth releasing, even if the last
	// caller leaves meanwhile.
	lasting := context.WithoutCancel(ctx)
	loaded := false
	defer func() {
		if !loaded { // it panicked, or ended its goroutine: nothing can be delivered before
			bounded, cancel := context.WithTimeoutCause(lasting, t.budget.left, ErrBudget)
			defer cancel()
			t.release(bounded, lease)
		}
	}()
	a, ttl := t.callLoader(ctx)
	loaded = true
	// Encoded before it is delivered: a caller may change what it was given.
	fill, fits = t.encode(lasting, a, ttl)
	t.f.Deliver(a, nil)
	return a, fill, fits
}

// store puts what was loaded under lease into the tiers, while nobody waits for it.
func (t *fetch[K, V]) store(ctx context.Context, lease Lease, a answer[V], fill Fill, fits bool) {
	switch {
	case !fits:
		t.release(ctx, lease)
	case len(fill.Payload) > t.c.opts.MaxPayload:
		t.c.counters.overMaxPayload.Add(1)
		t.keepFenced(ctx, lease, a, fill, FillTooLarge, nil)
	default:
		t.fill(ctx, lease, a, fill)
	}
}

// encode makes a fill of a loaded value. It reports false, and says why, for what
// is not to be stored: an error, a value without a lifetime, one whose tags are
// over a limit or that does not encode, and one that was declared wrong while it
// was loaded, or may have been. The lease would keep that out, if the deletion of its
// key got through; if it did not, only this instance knows.
func (t *fetch[K, V]) encode(ctx context.Context, a answer[V], ttl time.Duration) (fill Fill, ok bool) {
	if ttl == 0 {
		t.notStored(ctx, a)
		return fill, false
	}
	if !t.tagged(ctx, a) {
		return fill, false
	}
	if t.f.Doomed() || t.f.Abandoned() || t.outdated(a) || t.c.distrusted.has(t.remoteKey) {
		t.withheld(ctx, nil)
		return fill, false
	}
	fill = Fill{NotFound: a.notFound(), TTL: ttl, MaxAge: t.c.opts.MaxAge, Stamp: t.stamp, Tags: a.entry.tags}
	if !a.notFound() {
		var err error
		if fill.Payload, err = encode(t.c.opts.Codec, a.entry.value); err != nil {
			t.c.unencodable(ctx, t.key, err)
			return fill, false
		}
	}
	return fill, true
}

func (t *fetch[K, V]) release(ctx context.Context, lease Lease) {
	if _, err := lease.Release(ctx); err != nil {
		t.c.remoteFailed(ctx, "release", err)
	}
}

// fill stores a loaded value in the remote tier, and after that in the local one.
func (t *fetch[K, V]) fill(ctx context.Context, lease Lease, a answer[V], fill Fill) {
	asked := time.Now()
	left := min(fill.TTL, remainder(fill.MaxAge, asked.Sub(t.began)))
	held, err := lease.Fill(ctx, fill)
	if err != nil {
		t.c.remoteFailed(ctx, "fill", err)
	}
	switch {
	case err != nil && held:
		t.keepLoaded(ctx, a, t.c.loneLife(fill.TTL, t.began, t.right()), FillLocal, err)
	case err != nil:
		t.keepFenced(ctx, lease, a, fill, FillLocal, err)
	case !held:
		t.c.counters.refusedFills.Add(1)
		t.filled(ctx, FillRefused, nil)
	default:
		life := t.c.copyLife(Record{Asked: asked, NotFound: fill.NotFound, TTL: fill.TTL, Left: left}, t.right())
		t.keepLoaded(ctx, a, life, Filled, nil)
		t.c.recordLater(ctx, a.entry.tags, t.stamp, a.since)
	}
}

// keepFenced keeps a loaded value that the remote tier has not, or may not have, in the
// local tier. The lease is what fences it: if that stood until it was released, nobody had
// invalidated the key by then, and no fill has stored the value, or will. After a fill
// whose fate is unknown a lease that is gone may mean that the value was stored. The next
// read finds out.
func (t *fetch[K, V]) keepFenced(ctx context.Context, lease Lease, a answer[V], fill Fill, outcome FillOutcome, cause error) {
	held, err := lease.Release(ctx)
	switch {
	case err != nil:
		t.c.remoteFailed(ctx, "release", err)
		t.filled(ctx, FillFailed, cmp.Or(cause, err))
	case held:
		t.keepLoaded(ctx, a, t.c.loneLife(fill.TTL, t.began, t.right()), outcome, cause)
	case cause != nil:
		t.filled(ctx, FillFailed, cause)
	default:
		t.c.counters.refusedFills.Add(1)
		t.filled(ctx, FillRefused, nil)
	}
}

// right is until when a loaded value is known to be right by what was heard of the log. It
// was right when its load began; whether its key still is, its lease says.
func (t *fetch[K, V]) right() time.Time {
	_, heard := t.c.opts.Remote.Told(t.c.opts.Name)
	return later(t.began, heard)
}

// callLoader runs the loader, within its time, and says what its callers get
// and for how long that is kept: 0 for not at all.
func (t *fetch[K, V]) callLoader(ctx context.Context) (answer[V], time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, t.c.opts.LoadTimeout)
	defer cancel()
	t.mark()
	t.began, t.banned = time.Now(), t.c.isBanned(t.key)
	value, err := t.observe(ctx)
	switch {
	case err == nil:
		return t.loaded(t.c.newEntry(t.key, value), nil), t.c.lifetime(t.key, value)
	case errors.Is(err, ErrNotFound):
		return t.loaded(&entry[V]{notFound: true}, err), t.c.jitter(t.c.opts.NotFoundTTL)
	}
	return answer[V]{err: err}, 0
}

// loaded is the answer that a load gives.
func (t *fetch[K, V]) loaded(e *entry[V], err error) answer[V] {
	e.checked.Store(t.drops)
	return answer[V]{entry: e, since: t.drops, began: t.turn, err: err}
}

// observe calls the loader and counts and traces the call, also when it panics.
func (t *fetch[K, V]) observe(ctx context.Context) (value V, err error) {
	start, failed := time.Now(), true
	t.c.counters.loads.Add(1)
	defer func() {
		if failed {
			t.c.counters.loadErrors.Add(1)
		}
		if t.c.opts.Trace.Load != nil {
			t.c.opts.Trace.Load(ctx, LoadInfo{Key: t.c.opts.Key(t.key), Took: time.Since(start), Err: err})
		}
	}()
	value, err = t.load(ctx, t.key)
	failed = err != nil && !errors.Is(err, ErrNotFound)
	return value, err
}

// keep publishes a in the local tier, unless the flight is doomed or the cache is being
// closed, and says whether it did.
func (t *fetch[K, V]) keep(ctx context.Context, a answer[V], life local.Lifetime) bool {
	cost := t.c.cost(t.key, a.entry)
	var evicted []local.Evicted[K, *entry[V]]
	kept := !t.c.gate.isClosed() && t.c.known.right(a.entry.tags, &a.entry.checked) && (a.from != 0 || !t.outdated(a)) &&
		t.f.Publish(func() {
			if !t.c.opts.RemoteOnly {
				evicted = t.c.local.Add(t.key, a.entry, cost, life)
			}
		})
	t.c.traceEvicted(ctx, evicted)
	return kept
}

// outdated reports whether a loaded value is known to be wrong, or not to be relied
// on, without a Doom. What is declared wrong after this is found out at the next hit.
// A gap in what is known is no reason here: the remote tier fences the fill.
func (t *fetch[K, V]) outdated(a answer[V]) bool {
	return t.banned || t.c.isBanned(t.key) || t.c.known.dropped(a.entry.tags, a.since) ||
		t.c.known.lately(a.entry.tags, t.began, t.c.opts.HoldOff)
}

// keepLoaded keeps a loaded value and reports that as outcome, or as doomed. Without a
// local tier a value that is not in the remote one is in none.
func (t *fetch[K, V]) keepLoaded(ctx context.Context, a answer[V], life local.Lifetime, outcome FillOutcome, err error) {
	if t.c.opts.RemoteOnly && outcome != Filled {
		t.filled(ctx, FillFailed, cmp.Or(err, errNoLocalTier))
		return
	}
	if !t.keep(ctx, a, life) {
		t.withheld(ctx, err)
		return
	}
	t.c.counters.fills.Add(1)
	t.filled(ctx, outcome, err)
}

// errNoLocalTier says why a value that the remote tier has not was not kept.
var errNoLocalTier = errors.New("cache: RemoteOnly, and the remote tier has not taken the value")

// withheld reports a value that is kept from others, because of what happened to its
// flight.
func (t *fetch[K, V]) withheld(ctx context.Context, err error) {
	if t.f.Abandoned() {
		t.c.counters.abandonedFills.Add(1)
		t.filled(ctx, FillAbandoned, err)
		return
	}
	t.c.counters.doomedFills.Add(1)
	t.filled(ctx, FillDoomed, err)
}

// notStored reports a value that its TTL keeps out of the tiers. There is
// nothing to report of an error.
func (t *fetch[K, V]) notStored(ctx context.Context, a answer[V]) {
	if a.err == nil {
		t.filled(ctx, FillSkipped, nil)
	}
}

func (t *fetch[K, V]) filled(ctx context.Context, outcome FillOutcome, err error) {
	if t.c.opts.Trace.Fill != nil {
		t.c.opts.Trace.Fill(ctx, FillInfo{Key: t.c.opts.Key(t.key), Outcome: outcome, Err: err})
	}
}
