package cache

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/loader"
)

// errWaited ends a wait for another instance's load at its bound.
var errWaited = errors.New("cache: waited long enough for another instance's load")

// readOnly is the flight of Get.
func (t *fetch[K, V]) readOnly(ctx context.Context, f *loader.Flight[answer[V]]) answer[V] {
	if a, _, ok := t.lookup(ctx, f); ok {
		return a
	}
	return answer[V]{err: ErrMiss, complete: t.complete()}
}

// run is the flight of GetOrLoad. It returns ctx's error if every caller has left.
func (t *fetch[K, V]) run(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
	t.c.flying.Add(1)
	defer t.c.flying.Add(-1)
	if t.seen.done && t.flight != f { // in another flight, before this one
		t.budget.left -= f.Waited()
		// Between the two flights this instance held nothing of the key, and the index may
		// have forgotten its name.
		t.c.indexKey(t.key)
	}
	t.flight = f
	if !t.seen.done {
		if a, err, ok := t.lookup(ctx, f); ok {
			return a, err
		}
	}
	if t.seen.err == nil {
		return t.runFenced(ctx)
	}
	if ctx.Err() != nil {
		return answer[V]{}, ctx.Err()
	}
	return t.loadUnfenced(ctx, true) // the remote tier fails, and so fences nothing
}

// runFenced loads with a lease, for a key whose record the look-up has read. It waits while
// another instance loads the key. It is a function of its own to keep its variables off the
// stack of a load without the remote tier, which would have to grow for them.
func (t *fetch[K, V]) runFenced(ctx context.Context) (answer[V], error) {
	rec, err := t.seen.rec, error(nil)
	overdue := false // the holder of the lease in rec does not renew it
	for err == nil {
		var replace []byte
		if !t.old.is(rec) {
			t.old = nil
		}
		switch rec.State {
		case remote.StateTombstone:
			return t.loadUnfenced(ctx, false)
		case remote.StateLease:
			if !overdue {
				t.snap = t.c.snapshot()
				rec, err = t.wait(ctx)
				t.snap.live = t.c.logLive(t.snap.asOf)
				overdue = rec.State == remote.StateLease
				continue
			}
			replace = rec.Version
		case remote.StateValue:
			if t.old == nil {
				if a, ok := t.accept(ctx, rec); ok {
					return a, nil
				}
			}
			if rec.Leased && t.old != nil { // another load is to replace the value
				if a, ok := t.meanwhile(); ok {
					return a, nil
				}
				t.old = nil
				return t.loadUnfenced(ctx, false)
			}
			replace = rec.Version
		case remote.StateCorrupt:
			replace = rec.Version
		}
		var a answer[V]
		var led bool
		t.snap, overdue = t.c.snapshot(), false
		if a, rec, led, err = t.lead(ctx, replace); led {
			return a, nil
		}
	}
	if ctx.Err() != nil {
		return answer[V]{}, ctx.Err()
	}
	// At the end of the wait another instance holds the lease, so this load is not fenced,
	// and its value is not kept. A remote tier that fails fences nothing either, but then the
	// local copy is all that spares the source.
	return t.loadUnfenced(ctx, !errors.Is(err, errWaited))
}

// wait waits until nobody holds the lease, until its holder does not renew it, or until
// WaitTimeout, for all holders together. It ends early for a caller whose deadline leaves just
// enough time for a load of its own.
func (t *fetch[K, V]) wait(ctx context.Context) (remote.Record, error) {
	t.leaveOthers()
	start := time.Now()
	if t.waitUntil.IsZero() {
		t.waitUntil = start.Add(t.c.opts.WaitTimeout)
	}
	t.c.counters.leaseWaits.Add(1)
	bounded, cancel := context.WithDeadline(ctx, t.waitUntil)
	defer cancel()
	t.flight.WhenUrged(cancel)
	rec, err := t.c.opts.Remote.Wait(bounded, t.remoteKey)
	t.flight.WhenUrged(nil)
	if err != nil && bounded.Err() != nil {
		err = errWaited
	} else {
		err = t.check(ctx, "wait", rec, err)
	}
	if t.c.opts.Trace.Wait != nil {
		t.c.opts.Trace.Wait(ctx, WaitInfo{Key: t.c.opts.Key(t.key), Took: time.Since(start), Err: err})
	}
	return rec, err
}

// lead takes the lease and loads, and fills the tiers after its callers have the value. The
// lease replaces the record that replace names, unless that is the value of t.old. If
// lead reports false it has not loaded: the record stands in the way, or the remote tier
// failed.
func (t *fetch[K, V]) lead(ctx context.Context, replace []byte) (answer[V], remote.Record, bool, error) {
	// In one struct, which the function below shares: one allocation, and not one for each.
	var got struct {
		lease remote.Lease
		rec   remote.Record
		led   bool
		a     answer[V]
		fill  remote.Fill
		fits  bool
		err   error
	}
	run := t.limited
	if t.seen.lease != nil {
		got.lease, t.seen.lease, run = t.seen.lease, nil, t.seen.place.Run
	}
	t.stopTimer = t.afterSoftTimeout(ctx)
	defer t.stopTimer() // also if the load panics
	limitErr := run(ctx, func(ctx context.Context) {
		if got.lease == nil {
			got.lease, got.rec, got.err = t.takeLease(ctx, replace)
		}
		switch {
		case got.err != nil || got.lease == nil:
		case ctx.Err() != nil:
			got.err = ctx.Err()
		default:
			got.led = true
			got.a, got.fill, got.fits = t.loadFenced(ctx, got.lease)
		}
	})
	if limitErr != nil {
		got.err = limitErr
	}
	if got.lease != nil && !got.led {
		t.leaveOthers() // who may be loading
		t.release(context.WithoutCancel(ctx), got.lease)
	}
	if got.led { // outside the limit, which is for loads
		t.fillTiers(context.WithoutCancel(ctx), got.lease, got.a, got.fill, got.fits)
	}
	return got.a, got.rec, got.led, got.err
}

// takeLease goes on when every caller has left, like get.
func (t *fetch[K, V]) takeLease(ctx context.Context, replace []byte) (lease remote.Lease, rec remote.Record, err error) {
	err = t.spend(ctx, func(ctx context.Context) (err error) {
		if m := t.member; m.in() {
			ask := remote.LeaseAsk{Key: t.remoteKey, Replace: replace, Beside: t.old.replaces()}
			if got, in, _ := m.g.leases.Do(ctx, m.Member, ask); in {
				lease, rec = got.Lease, got.Record
				return got.Err
			}
		}
		take := t.c.opts.Remote.Lease
		if t.old.replaces() {
			take = t.c.opts.Remote.LeaseBeside
		}
		lease, rec, err = take(ctx, t.remoteKey, t.c.opts.LoadTimeout, replace)
		return err
	})
	return lease, rec, t.check(ctx, "lease", rec, err)
}

// loadFenced loads with a lease, and delivers the result to its callers. It returns the fill
// for the tiers, or false if the tiers get nothing.
func (t *fetch[K, V]) loadFenced(ctx context.Context, lease remote.Lease) (a answer[V], fill remote.Fill, fits bool) {
	// The value is worth storing, and the lease worth releasing, even if the last caller
	// leaves before the end.
	lasting := context.WithoutCancel(ctx)
	loaded := false
	defer func() {
		if !loaded { // the load panicked, or ended its goroutine: its callers wait for the release
			bounded, cancel := context.WithTimeoutCause(lasting, t.budget.left, remote.ErrBudget)
			defer cancel()
			t.release(bounded, lease)
		}
	}()
	a, ttl := t.callLoader(ctx)
	loaded = true
	// Encoded before delivery: a caller may change the value that it receives.
	fill, fits = t.encode(lasting, a, ttl)
	t.flight.Deliver(a, nil)
	return a, fill, fits
}

// loadUnfenced loads without a lease. With keep the value goes into the local tier,
// otherwise into none.
func (t *fetch[K, V]) loadUnfenced(ctx context.Context, keep bool) (a answer[V], err error) {
	t.stopTimer = t.afterSoftTimeout(ctx)
	defer t.stopTimer() // also if the load panics
	err = t.limited(ctx, func(ctx context.Context) {
		var ttl time.Duration
		a, ttl = t.callLoader(ctx)
		switch {
		case ttl == 0 || t.key != t.key:
			t.reportSkipped(ctx, a)
		case !t.checkTags(ctx, a):
		case !keep:
			t.c.counters.refusedFills.Add(1)
			t.reportFill(ctx, FillRefused, nil)
		default:
			outcome := Filled
			if t.c.opts.Remote != nil {
				outcome = FillLocal
			}
			life := t.c.unfencedLifetime(ttl, a.notFound(), t.snap.taken)
			t.c.endsEarly(a.entry, t.took, max(life.TTL, life.MaxAge))
			t.keepLocal(ctx, a, life, outcome, nil)
		}
	})
	return a, err
}

// callLoader runs the loader for LoadTimeout at most. It returns the answer for the callers,
// and the TTL of the value; 0 if the value is not to be kept.
func (t *fetch[K, V]) callLoader(ctx context.Context) (answer[V], time.Duration) {
	t.snap = t.c.snapshot()
	t.guarded = t.c.isGuarded(t.key)
	value, err := t.loadValue(ctx)
	t.stopTimer()
	if t.unchanged = t.notModified(err); t.unchanged {
		value, err = t.old.entry.value, nil
	}
	switch {
	case err == nil:
		t.forgetOld()
		return t.loaded(t.c.newEntry(t.key, value), nil), t.c.lifetime(t.key, value)
	case errors.Is(err, ErrNotFound):
		t.forgetOld()
		return t.loaded(&entry[V]{notFound: true}, err), t.c.jitter(t.c.opts.NotFoundTTL)
	}
	if a, ok := t.inPlaceOfLoad(ctx); ok {
		return a, 0
	}
	return answer[V]{err: err}, 0
}

// loadValue calls the loader.
func (t *fetch[K, V]) loadValue(ctx context.Context) (value V, err error) {
	if m := t.member; m.in() {
		if got, in, err := m.g.loads.Do(ctx, m.Member, loadAsk[K]{t.key, m.at, t.draw > 0}); in {
			t.took = got.took
			return got.value, cmp.Or(err, got.err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, t.c.opts.LoadTimeout)
	defer cancel()
	if t.draw > 0 {
		t.c.counters.earlyLoads.Add(1)
	}
	t.took, err = t.c.observeLoad(ctx, t.key, 1, func() (failed bool, err error) {
		value, err = t.load(t.withPrevious(ctx), t.key)
		return loadFailed(err) && !t.notModified(err), err
	})
	return value, err
}

// loaded is the answer that a load gives.
func (t *fetch[K, V]) loaded(e *entry[V], err error) answer[V] {
	e.epoch.Store(t.snap.epoch)
	return answer[V]{entry: e, epoch: t.snap.epoch, turn: t.snap.turn, err: err}
}

// loadFailed reports whether err is a failure of a loader.
func loadFailed(err error) bool { return err != nil && !errors.Is(err, ErrNotFound) }

// observeLoad calls load, which loads so many keys, and counts and traces the call, also when it
// panics. key is the first of the keys.
func (c *Cache[K, V]) observeLoad(ctx context.Context, key K, keys int, load func() (failed bool, err error)) (took time.Duration, err error) {
	start, failed := time.Now(), true
	c.counters.loads.Add(1)
	defer func() {
		took = time.Since(start)
		c.noteLoadTime(took)
		if failed {
			c.counters.loadErrors.Add(1)
		}
		if c.opts.Trace.Load != nil {
			c.opts.Trace.Load(ctx, LoadInfo{Key: c.opts.Key(key), Keys: keys, Took: took, Err: err})
		}
	}()
	failed, err = load()
	return took, err
}
