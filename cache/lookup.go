package cache

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/cache/internal/validity"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/loader"
)

// fetch is the work of one flight: it looks the key up in the tiers (lookup.go), loads the
// key if it has to (load.go), and fills the tiers with the loaded value (fill.go).
//
// The flight is registered before the remote tier is asked, so that an Invalidate that runs
// at the same time can doom the flight:
//
//  1. The flight reads the old value from the remote tier.
//  2. Invalidate deletes the remote record and drops the local copy.
//  3. The flight publishes the old value in the local tier.
//
// Without a flight to doom at step 2, step 3 would leave the old value there.
type fetch[K comparable, V any] struct {
	c         *Cache[K, V]
	key       K
	remoteKey string
	load      func(context.Context, K) (V, error)
	member    *member[K, V] // of the call with many keys that has started the flight; nil if a call with one has
	flight    *loader.Flight[answer[V]]
	asks      bool // the remote tier is to be asked, or was
	looked    bool // a call with many keys has asked the tiers: seen is to be judged
	gathers   bool // a touch is left to the call with many keys
	touches   bool // there is one
	budget    budget
	seen      seen
	snap      snapshot // from before the remote tier was read, or the load began
	guarded   bool     // when the load began, nothing was to be stored for the key
	old       *old[V]  // the value that the load is to replace; nil for none

	background bool          // no caller waits: the load replaces a value that a caller got
	draw       float64       // in the background: what has picked a fresh value; 0 for a stale one
	took       time.Duration // how long the loader ran
	unchanged  bool          // the loader has returned ErrNotModified
	stopTimer  func()        // of LoadSoftTimeout

	// The last invalidation of the key that this instance remembers from before the remote
	// tier was asked.
	invalidated validity.Remembered

	waitUntil time.Time // the end of the waits for other instances; zero before the first
}

// newFetch returns the work of a flight that is started for a caller. The caller has already
// spent a part of its budget. A nil load is for Get.
func (c *Cache[K, V]) newFetch(key K, load func(context.Context, K) (V, error), spent time.Duration) *fetch[K, V] {
	return &fetch[K, V]{c: c, key: key, load: load, budget: c.budgetLess(spent)}
}

// seen is what the look-up in the remote tier has found.
type seen struct {
	done  bool // the tiers were asked, and their answers judged
	rec   remote.Record
	lease remote.Lease  // of a key without a record, if the look-up took the lease
	place *loader.Place // for the load of that lease
	err   error
}

// snapshot is the state of this instance before it reads the remote tier or the source. The
// value is checked against the snapshot.
type snapshot struct {
	taken time.Time
	turn  uint64          // the number of the snapshot
	epoch uint64          // of the invalidations
	stamp remote.Position // how far the log was observed
	asOf  time.Time       // every entry of the log up to this time was delivered here

	// So little time has passed since asOf that a local copy is trusted for longer. Otherwise
	// the log may have lost its connection, and nobody has noticed yet.
	live bool
}

func (c *Cache[K, V]) snapshot() (s snapshot) {
	s.taken, s.epoch, s.turn = time.Now(), c.invalidations.Epoch(), c.nextTurn()
	if c.opts.Remote == nil {
		return s
	}
	s.stamp = c.opts.Remote.Observed(c.opts.Name)
	delivered, asOf := c.opts.Remote.Delivered(c.opts.Name)
	s.asOf, s.live = asOf, c.logLive(asOf)
	if c.opts.HoldOff > 0 {
		s.stamp = delivered // this instance cannot hold off an entry that was observed and not delivered
	}
	return s
}

func (c *Cache[K, V]) logLive(asOf time.Time) bool { return time.Since(asOf) < c.opts.Local.TTL }

// lookup asks the tiers, once, and reports whether they answer the call.
func (t *fetch[K, V]) lookup(ctx context.Context, f *loader.Flight[answer[V]]) (a answer[V], err error, ok bool) {
	if !t.looked {
		if a, ok = t.prepare(f); ok {
			return a, nil, true
		}
		if t.asks {
			t.seen.rec, t.seen.err = t.get(ctx)
		}
	}
	a, ok = t.judge(ctx)
	return a, nil, ok
}

// prepare notes what has to be known from before the remote tier is asked. It reports whether
// the local tier answers the call. If not, t.asks says whether the remote tier is to be asked.
func (t *fetch[K, V]) prepare(f *loader.Flight[answer[V]]) (a answer[V], ok bool) {
	t.flight, t.seen = f, seen{err: remote.ErrUnavailable}
	t.snap = t.c.snapshot()
	if t.key != t.key { // no tier holds a key that does not equal itself
		return a, false
	}
	if !t.c.opts.RemoteOnly {
		if a, ok = t.lookupLocal(); ok {
			return a, true
		}
	}
	if t.c.opts.Remote != nil {
		t.remoteKey = t.c.remoteKey(t.key)
		t.c.indexKey(t.key)
		t.invalidated = t.c.memory.Last(t.remoteKey)
		t.asks = !t.c.journal.Has(t.remoteKey)
	}
	return a, false
}

// lookupLocal asks the local tier again. The caller has missed there, and another flight may
// have published and ended since: its load would be done twice. Otherwise t.old is the local
// value that a load is to replace.
func (t *fetch[K, V]) lookupLocal() (a answer[V], ok bool) {
	if e, ok := t.c.local.Peek(t.key); ok && t.c.invalidations.EntryValid(e.tags, &e.epoch) {
		if t.uses(e) {
			return t.found(e, TierLocal), true
		}
		if e.early != nil {
			left := time.Until(e.early.end)
			t.old = &old[V]{entry: e, from: TierLocal, since: e.early.end, left: left, found: time.Now(), epoch: e.epoch.Load()}
		}
	}
	if t.old == nil && t.load != nil {
		t.old = t.c.localOld(t.key)
	}
	return a, false
}

// judge reports whether the reply of the remote tier answers the call, or whether something
// does that may be returned where the remote tier does not answer.
func (t *fetch[K, V]) judge(ctx context.Context) (a answer[V], ok bool) {
	t.seen.done = true
	if t.seen.err == nil {
		a, ok = t.useRecord(ctx)
	}
	if t.c.opts.RemoteOnly || t.key != t.key {
		return a, ok
	}
	if !ok && t.old != nil && !t.old.replaces() { // there is no remote tier, or it does not answer
		a, ok = t.serveOld()
	}
	if !ok {
		a, ok = t.whileDown()
	}
	return a, ok
}

// uses reports whether this fetch may return e. A value that stands in for a load answers no
// Get, and no load in the background. Nor is the value returned that such a load is to replace.
func (t *fetch[K, V]) uses(e *entry[V]) bool {
	if e.staleFor > 0 {
		return t.load != nil && !t.background
	}
	return t.draw == 0 || !t.c.picksEntry(t.draw, e)
}

func (t *fetch[K, V]) useRecord(ctx context.Context) (a answer[V], ok bool) {
	t.old = nil // the remote tier knows better
	if t.seen.rec.State != remote.StateValue {
		return a, false
	}
	if a, ok = t.accept(ctx, t.seen.rec); !ok && t.old == nil {
		t.seen.rec.State = remote.StateCorrupt // this instance cannot use the record
	}
	return a, ok
}

// get reads the record, and goes on when every caller has left, which takes a budget at
// most: if Redis hangs and all callers have less time than a budget, only get sees the
// failure.
func (t *fetch[K, V]) get(ctx context.Context) (remote.Record, error) {
	ctx = lasting(ctx)
	t.budget.left -= t.flight.Waited()
	var rec remote.Record
	before := t.budget.left
	err := t.budget.spend(ctx, func(ctx context.Context) (err error) {
		if t.seen.place = t.placeToLoad(ctx); t.seen.place == nil {
			rec, err = t.c.opts.Remote.Get(ctx, t.remoteKey, !t.snap.live)
			return err
		}
		defer func() {
			if t.seen.lease == nil { // also if the Remote panicked
				t.seen.place.Leave()
			}
		}()
		t.seen.lease, rec, err = t.c.opts.Remote.GetOrLease(ctx, t.remoteKey, t.c.opts.LoadTimeout, !t.snap.live)
		return err
	})
	if err == nil && rec.State == remote.StateAbsent {
		t.c.absences.Add(1)
	} else {
		t.c.absences.Store(0)
	}
	if err == nil && before-t.budget.left > t.budget.whole/2 {
		t.c.slowReads.Add(1)
	} else if t.c.slowReads.Load() > 0 {
		t.c.slowReads.Store(0)
	}
	return t.read(ctx, rec, err)
}

// read returns what a read of the remote tier has found.
func (t *fetch[K, V]) read(ctx context.Context, rec remote.Record, err error) (remote.Record, error) {
	if rec.Complete {
		t.snap.asOf = rec.Asked
	}
	return rec, t.check(ctx, "get", rec, err)
}

// expectedReads is how many reads in a row find no record, or take more than half of the budget,
// before the next read asks for the lease in the same round trip. That saves a miss a round trip,
// and costs a hit two commands. Of a remote tier that is far away the lease could not be had
// otherwise: the read leaves too little of the budget.
const expectedReads = 4

// placeToLoad returns the place for a load whose lease the look-up asks for, or nil if the
// look-up asks for none. Without a place there is no lease: a holder that waits for a place
// would hold up the other instances.
func (t *fetch[K, V]) placeToLoad(ctx context.Context) *loader.Place {
	if t.load == nil || t.c.opts.RemoteOnly || max(t.c.absences.Load(), t.c.slowReads.Load()) < expectedReads {
		return nil
	}
	return t.c.limit.Try(ctx)
}

// check counts and traces a failure of the remote tier and an unreadable record, and
// returns err.
func (t *fetch[K, V]) check(ctx context.Context, op string, rec remote.Record, err error) error {
	if _, already := err.(traced); err != nil && !already && ctx.Err() == nil {
		t.c.remoteFailed(ctx, op, err)
	}
	if err == nil && rec.State == remote.StateCorrupt {
		t.c.corrupt(ctx, t.key, rec.Reason)
	}
	return err
}

// accept decodes a value, and publishes a copy in the local tier. It reports false for a
// value that is invalid, or does not decode, and for a stale value that may not be returned
// at once: then t.old is that value, if there is a use for it.
func (t *fetch[K, V]) accept(ctx context.Context, rec remote.Record) (answer[V], bool) {
	valid, asOf := t.validate(ctx, rec)
	if !valid {
		t.c.counters.invalidRecords.Add(1)
		return answer[V]{}, false
	}
	e := &entry[V]{notFound: rec.NotFound, tags: rec.Tags}
	e.epoch.Store(t.snap.epoch)
	if !rec.NotFound {
		var err error
		if e.value, err = decode(t.c.opts.Codec, rec.Payload); err != nil {
			t.c.undecodable(ctx, t.key, err)
			return answer[V]{}, false
		}
	}
	life, left := t.c.copyLifetime(rec, asOf), rec.Left-max(time.Since(rec.Asked), 0)
	if rec.Window > 0 && rec.Left <= 0 || t.pickedEarly(rec.LoadTime, left) {
		if t.load == nil {
			return answer[V]{}, false
		}
		return t.keepOld(ctx, rec, e, life)
	}
	t.c.endsEarly(e, rec.LoadTime, left)
	a := t.found(e, TierRemote)
	if t.load != nil && !t.background {
		a.draw = t.c.draw(rec.LoadTime, left)
		a.due = a.draw > 0
	}
	if life.RenewEvery > 0 && life.RenewIn <= 0 {
		life.RenewIn = life.RenewEvery
		t.touchLater(ctx)
	}
	if !t.c.opts.RemoteOnly {
		t.publish(ctx, a, life)
	}
	return a, true
}

// found is the answer that an entry of a tier gives.
func (t *fetch[K, V]) found(e *entry[V], from Tier) answer[V] {
	standsIn := e.staleFor > 0
	a := answer[V]{entry: e, from: from, epoch: t.snap.epoch, turn: t.snap.turn, stale: standsIn, standsIn: standsIn}
	if e.notFound {
		a.err = ErrNotFound
	}
	return a
}

// budget is the time that one call may spend on the remote tier. Its commands share it.
type budget struct{ whole, left time.Duration }

func (c *Cache[K, V]) budgetLess(spent time.Duration) budget {
	whole := c.patience()
	return budget{whole, whole - spent}
}

// lasting returns ctx without its end.
func lasting(ctx context.Context) context.Context {
	if ctx.Done() == nil { // it never ends
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// spend runs a command unless the budget is used up. The command goes on when ctx ends, and
// gets the time that is left of the budget.
func (b *budget) spend(ctx context.Context, command func(context.Context) error) error {
	if b.left <= 0 {
		return context.DeadlineExceeded
	}
	ctx = lasting(ctx)
	if b.left < b.whole { // the Remote itself bounds a command by the whole budget
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, b.left, remote.ErrBudget)
		defer cancel()
	}
	start := time.Now()
	err := command(ctx)
	b.left -= time.Since(start)
	return err
}
