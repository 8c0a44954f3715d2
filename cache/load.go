package cache

import (
	"context"
	"errors"
	"time"

	"github.com/nearside-go/nearside/local"
)

// loadAlone loads without a lease. With keep the value goes into the local
// tier; without, in none.
func (t *fetch[K, V]) loadAlone(ctx context.Context, keep bool) (a answer[V], err error) {
	err = t.c.limit.Run(ctx, func(ctx context.Context) {
		start := time.Now()
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
			t.keepLoaded(ctx, a, t.c.aloneLife(ttl, a.notFound(), start), outcome, nil)
		}
	})
	return a, err
}

// loadUnder loads under lease and fills both tiers.
func (t *fetch[K, V]) loadUnder(ctx context.Context, lease Lease) answer[V] {
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
	start := time.Now()
	a, ttl := t.callLoader(ctx)
	loaded = true
	fill, ok := t.encode(lasting, a, ttl)
	if !ok {
		defer t.inBudget(func() { t.f.DeliverLast(a, nil) })()
		t.release(lasting, lease)
		return a
	}
	defer t.inBudget(func() { t.f.Deliver(a, nil) })()
	if t.stored = t.fill(lasting, lease, a, fill, start); t.stored {
		t.f.Deliver(a, nil) // who waits need not wait for what run does yet
	}
	return a
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
	if err := lease.Release(ctx); err != nil {
		t.c.remoteFailed(ctx, "release", err)
	}
}

// fill stores the value, whose load started then, in the remote tier, and after
// that in the local one. It reports whether it is in the remote tier.
func (t *fetch[K, V]) fill(ctx context.Context, lease Lease, a answer[V], fill Fill, start time.Time) bool {
	asked := time.Now()
	left := min(fill.TTL, remainder(fill.MaxAge, asked.Sub(start)))
	held, err := lease.Fill(ctx, fill)
	if err != nil {
		t.c.remoteFailed(ctx, "fill", err)
	}
	// It was right when its load began, and the lease says that its key still is.
	_, heard := t.c.opts.Remote.Told(t.c.opts.Name)
	right := later(t.began, heard)
	life := t.c.copyLife(Record{Asked: asked, NotFound: fill.NotFound, TTL: fill.TTL, Left: left}, right)
	switch {
	case err != nil && held:
		t.keepLoaded(ctx, a, life, FillLocal, err)
	case err != nil:
		t.filled(ctx, FillFailed, err)
	case !held:
		t.c.counters.refusedFills.Add(1)
		t.filled(ctx, FillRefused, nil)
	default:
		t.keepLoaded(ctx, a, life, Filled, nil)
		return true
	}
	return false
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
	return answer[V]{entry: e, since: t.drops, err: err}
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

// inBudget calls deliver when what is left of the budget has passed, unless the
// function that it returns was called first. So a remote tier that is slow to
// take a value, or a lease, does not hold up those who have what they came for.
func (t *fetch[K, V]) inBudget(deliver func()) (stop func() bool) {
	return time.AfterFunc(max(t.budget.left, 0), deliver).Stop
}

// keep publishes a in the local tier, unless the flight is doomed or the cache is being
// closed, and says whether it did.
func (t *fetch[K, V]) keep(ctx context.Context, a answer[V], life local.Lifetime) bool {
	cost := t.c.cost(t.key, a.entry)
	var evicted []local.Evicted[K, *entry[V]]
	kept := !t.c.gate.isClosed() && t.c.known.right(a.entry.tags, &a.entry.checked) && (a.from != 0 || !t.outdated(a)) &&
		t.f.Publish(func() { evicted = t.c.local.Add(t.key, a.entry, cost, life) })
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

// keepLoaded keeps a loaded value and reports that as outcome, or as doomed.
func (t *fetch[K, V]) keepLoaded(ctx context.Context, a answer[V], life local.Lifetime, outcome FillOutcome, err error) {
	if !t.keep(ctx, a, life) {
		t.withheld(ctx, err)
		return
	}
	t.c.counters.fills.Add(1)
	t.filled(ctx, outcome, err)
}

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
