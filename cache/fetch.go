package cache

import (
	"context"
	"errors"
	"time"

	"github.com/nearside-go/nearside/loader"
)

// fetch is the work of one flight: what it learns from the remote tier, and
// what it does about it.
//
// The flight is registered before the remote tier is asked, so that an Invalidate
// that comes meanwhile can doom it:
//
//  1. The flight reads the old value from the remote tier.
//  2. Invalidate deletes the remote record and drops the local copy.
//  3. The flight publishes the old value in the local tier.
//
// Without a flight to doom at step 2, step 3 would leave it there.
type fetch[K comparable, V any] struct {
	c         *Cache[K, V]
	key       K
	remoteKey string
	load      func(context.Context, K) (V, error)
	f         *loader.Flight[answer[V]]
	budget    budget
	spent     time.Duration // of the budget, before the flight

	// What look found.
	looked bool
	rec    Record
	lease  Lease         // of a key without a record, if that was taken with the look
	place  *loader.Place // for its load
	err    error

	// What was known before the remote tier was read, or the load began.
	turn  uint64    // the number of this moment
	drops uint64    // the last of known.drops
	stamp Position  // how far the log had been heard of
	heard time.Time // until when it had been heard
	live  bool      // it was isLive then, and is for what is read next, however long that takes

	// What was true when the load began.
	began  time.Time
	banned bool // nothing may be stored for the key

	waitUntil time.Time // when the waits for other instances end; zero before the first
}

// errWaited ends a wait for another instance's load at its bound.
var errWaited = errors.New("cache: waited long enough for another instance's load")

// look asks the tiers, once, and reports whether that answers the call.
func (t *fetch[K, V]) look(ctx context.Context, f *loader.Flight[answer[V]]) (a answer[V], err error, ok bool) {
	t.f, t.looked, t.err = f, true, ErrUnavailable
	t.mark()
	if t.key != t.key { // no tier keeps it
		return a, nil, false
	}
	if t.c.opts.RemoteOnly {
		return t.lookRemote(ctx)
	}
	// The caller has missed locally, and another flight may have published and
	// ended since: without a second look its load would be done twice.
	if e, ok := t.c.local.Peek(t.key); ok && t.c.known.right(e.tags, &e.checked) {
		return t.found(e, TierLocal), nil, true
	}
	if t.c.opts.Remote == nil {
		return a, nil, false
	}
	return t.lookRemote(ctx)
}

func (t *fetch[K, V]) lookRemote(ctx context.Context) (a answer[V], err error, ok bool) {
	t.remoteKey = t.c.remoteKey(t.key)
	t.c.index(t.key)
	if t.c.distrusts(ctx, t.remoteKey) {
		return a, nil, false
	}
	t.rec, t.err = t.get(ctx)
	if t.err != nil || t.rec.State != StateValue {
		return a, nil, false
	}
	if a, ok = t.accept(ctx, t.rec); !ok {
		t.rec.State = StateCorrupt // to this reader it is
	}
	return a, nil, ok
}

// mark notes what is known at this moment. What is read from the remote tier or
// from the source later is judged by that.
func (t *fetch[K, V]) mark() {
	t.drops, t.turn = t.c.known.drops.Load(), t.c.turn()
	if t.c.opts.Remote != nil {
		t.stamp = t.c.opts.Remote.Position(t.c.opts.Name)
		var told Position
		told, t.heard = t.c.opts.Remote.Told(t.c.opts.Name)
		t.live = t.isLive()
		if t.c.opts.HoldOff > 0 {
			// What it has heard of, and was not told, it cannot hold off.
			t.stamp = told
		}
	}
}

// found is the answer that an entry of a tier gives.
func (t *fetch[K, V]) found(e *entry[V], from Tier) answer[V] {
	a := answer[V]{entry: e, from: from, since: t.drops, began: t.turn}
	if e.notFound {
		a.err = ErrNotFound
	}
	return a
}

// read is the flight of Get.
func (t *fetch[K, V]) read(ctx context.Context, f *loader.Flight[answer[V]]) answer[V] {
	if a, _, ok := t.look(ctx, f); ok {
		return a
	}
	return answer[V]{err: ErrMiss, complete: t.complete()}
}

// run is the flight of GetOrLoad. Its error is ctx's: every caller has left.
func (t *fetch[K, V]) run(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
	t.c.flying.Add(1)
	defer t.c.flying.Add(-1)
	if t.looked && t.f != f { // in a flight of its own, before this one
		t.budget.left -= f.Waited()
		// Between the two nothing was held of the key, and its name may have gone.
		t.c.index(t.key)
	}
	t.f = f
	if !t.looked {
		if a, err, ok := t.look(ctx, f); ok {
			return a, err
		}
	}
	rec, err := t.rec, t.err
	for err == nil {
		var replace []byte
		switch rec.State {
		case StateTombstone:
			return t.loadAlone(ctx, false)
		case StateLease:
			t.mark()
			rec, err = t.wait(ctx)
			t.live = t.isLive()
			continue
		case StateValue:
			if a, ok := t.accept(ctx, rec); ok {
				return a, nil
			}
			replace = rec.Version
		case StateCorrupt:
			replace = rec.Version
		}
		var a answer[V]
		var led bool
		t.mark()
		if a, rec, led, err = t.lead(ctx, replace); led {
			return a, nil
		}
	}
	if ctx.Err() != nil {
		return answer[V]{}, ctx.Err()
	}
	// At the bound of the wait somebody else holds the lease, and whatever this
	// load returns is not fenced. A remote tier that fails fences nothing
	// either, but then the local copy is all that spares the source.
	return t.loadAlone(ctx, !errors.Is(err, errWaited))
}

// get goes on when every caller has left, which takes a budget at most. If Redis
// hangs and all callers are more impatient than that, it is the only one who stays
// to see it.
func (t *fetch[K, V]) get(ctx context.Context) (Record, error) {
	ctx = context.WithoutCancel(ctx)
	t.budget.left = t.c.opts.Remote.Budget() - t.spent - t.f.Waited()
	if t.spent > 0 || t.f.Waited() > 0 { // otherwise the command's own budget bounds it
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, t.budget.left, ErrBudget)
		defer cancel()
	}
	var rec Record
	err := t.budget.spend(func() (err error) {
		if t.place = t.placeToLoad(ctx); t.place == nil {
			rec, err = t.c.opts.Remote.Get(ctx, t.remoteKey, !t.live)
			return err
		}
		t.lease, rec, err = t.c.opts.Remote.GetOrLease(ctx, t.remoteKey, t.c.opts.LoadTimeout, !t.live)
		if t.lease == nil {
			t.place.Leave()
		}
		return err
	})
	if rec.Complete {
		t.heard = rec.Asked
	}
	if err == nil && rec.State == StateAbsent {
		t.c.absences.Add(1)
	} else {
		t.c.absences.Store(0)
	}
	return rec, t.check(ctx, "get", rec, err)
}

// expectedAbsences is how many reads in a row have to find nothing for the next one to ask
// for the lease at once: that saves a miss a round trip, and costs a hit a command.
const expectedAbsences = 4

// isLive reports whether so little time has passed since all of the log was known here
// that a local copy would be trusted for longer. A log that nothing was heard of since may
// have lost its connection, and nobody has noticed yet.
func (t *fetch[K, V]) isLive() bool { return time.Since(t.heard) < t.c.opts.Local.TTL }

// placeToLoad returns the place for a load whose lease is to be asked for with the look, or
// nil if it is not to be. Without a place there is no lease: one whose holder waits for a
// place would hold up the fleet.
func (t *fetch[K, V]) placeToLoad(ctx context.Context) *loader.Place {
	if t.load == nil || t.c.opts.RemoteOnly || t.c.absences.Load() < expectedAbsences {
		return nil
	}
	return t.c.limit.Try(ctx)
}

// check counts and traces what is wrong with an answer, and returns err.
func (t *fetch[K, V]) check(ctx context.Context, op string, rec Record, err error) error {
	if err != nil && ctx.Err() == nil {
		t.c.remoteFailed(ctx, op, err)
	}
	if err == nil && rec.State == StateCorrupt {
		t.c.corrupt(ctx, t.key, rec.Reason)
	}
	return err
}

// accept decodes a value, and keeps a copy in the local tier. It reports false
// for one that was declared wrong, or does not decode.
func (t *fetch[K, V]) accept(ctx context.Context, rec Record) (answer[V], bool) {
	right, at := t.isRight(ctx, rec)
	if !right {
		t.c.counters.wrongRecords.Add(1)
		return answer[V]{}, false
	}
	e := &entry[V]{notFound: rec.NotFound, tags: rec.Tags}
	e.checked.Store(t.drops)
	if !rec.NotFound {
		var err error
		if e.value, err = decode(t.c.opts.Codec, rec.Payload); err != nil {
			t.c.undecodable(ctx, t.key, err)
			return answer[V]{}, false
		}
	}
	a := t.found(e, TierRemote)
	life := t.c.copyLife(rec, at)
	if life.RenewEvery > 0 && life.RenewIn <= 0 {
		life.RenewIn = life.RenewEvery
		t.c.touchLater(ctx, t.key)
	}
	if !t.c.opts.RemoteOnly {
		t.keep(ctx, a, life)
	}
	return a, true
}

// wait waits until nobody holds the lease, or for as long as it may.
func (t *fetch[K, V]) wait(ctx context.Context) (Record, error) {
	start := time.Now()
	if t.waitUntil.IsZero() {
		t.waitUntil = start.Add(t.c.opts.WaitTimeout)
	}
	t.c.counters.leaseWaits.Add(1)
	bounded, cancel := context.WithDeadline(ctx, t.waitUntil)
	defer cancel()
	rec, err := t.c.opts.Remote.Wait(bounded, t.remoteKey)
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

// lead takes the lease and loads, and fills when its callers have what was loaded. If it
// reports false there was no load: the record is what stands in the way, or the remote
// tier failed.
func (t *fetch[K, V]) lead(ctx context.Context, replace []byte) (a answer[V], rec Record, led bool, err error) {
	lease, run := t.lease, t.c.limit.Run
	if lease != nil {
		t.lease, run = nil, t.place.Run
	}
	var fill Fill
	var fits bool
	limitErr := run(ctx, func(ctx context.Context) {
		if lease == nil {
			lease, rec, err = t.takeLease(ctx, replace)
		}
		switch {
		case err != nil || lease == nil:
		case ctx.Err() != nil:
			err = ctx.Err()
		default:
			led = true
			a, fill, fits = t.loadUnder(ctx, lease)
		}
	})
	if limitErr != nil {
		err = limitErr
	}
	if lease != nil && !led {
		t.release(context.WithoutCancel(ctx), lease)
	}
	if led { // outside the limit, which is for loads
		t.store(context.WithoutCancel(ctx), lease, a, fill, fits)
	}
	return a, rec, led, err
}

func (t *fetch[K, V]) takeLease(ctx context.Context, replace []byte) (lease Lease, rec Record, err error) {
	err = t.budget.spend(func() (err error) {
		// Like get, it goes on without callers.
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), t.budget.left, ErrBudget)
		defer cancel()
		lease, rec, err = t.c.opts.Remote.Lease(ctx, t.remoteKey, t.c.opts.LoadTimeout, replace)
		return err
	})
	return lease, rec, t.check(ctx, "lease", rec, err)
}
