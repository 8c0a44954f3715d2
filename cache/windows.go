package cache

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/loader"
	"github.com/nearside-go/nearside/local"
)

// old is a value that a look-up has found, and that a load is to replace. It is stale, and may be
// returned within the windows; or it is fresh, for EarlyRevalidation.
type old[V any] struct {
	entry   *entry[V]
	from    Tier
	since   time.Time     // the end of its TTL; later than now for a fresh value
	left    time.Duration // when it was found: until this instance may not keep it any more
	found   time.Time
	version []byte // of its record; nil for a local entry
	payload []byte // of its record
	epoch   uint64 // of the invalidations, before it was found
	turn    uint64 // in which it was found
}

// replaces reports whether a load would replace a record, which stays meanwhile.
func (o *old[V]) replaces() bool { return o != nil && o.version != nil }

// is reports whether rec is the record of o.
func (o *old[V]) is(rec remote.Record) bool {
	return o.replaces() && bytes.Equal(o.version, rec.Version)
}

// localOld returns the stale value that the local tier has of key; nil if there is none.
func (c *Cache[K, V]) localOld(key K) *old[V] {
	if c.window() == 0 || c.opts.RemoteOnly {
		return nil
	}
	s, ok := c.local.Stale(key)
	if !ok || s.Value.unsure || !c.invalidations.EntryValid(s.Value.tags, &s.Value.epoch) {
		return nil
	}
	now := time.Now()
	return &old[V]{
		entry: s.Value, from: TierLocal, since: now.Add(-s.For - s.Value.staleFor),
		left: s.Left, found: now, epoch: s.Value.epoch.Load(),
	}
}

// keepOld notes the value of a record, which a load is to replace, and publishes a copy in the
// local tier. It reports whether the value may be returned at once.
func (t *fetch[K, V]) keepOld(ctx context.Context, rec remote.Record, e *entry[V], life lifetime) (answer[V], bool) {
	now := time.Now()
	t.old = &old[V]{
		entry: e, from: TierRemote, since: rec.Asked.Add(rec.Left),
		left: life.TTL + life.Window, found: now, version: rec.Version, payload: rec.Payload, epoch: t.snap.epoch, turn: t.snap.turn,
	}
	if now.Sub(t.old.since) >= t.c.window() {
		t.old = nil
		return answer[V]{}, false
	}
	if !t.c.opts.RemoteOnly && !t.background { // or it has published the value that a caller got
		t.publish(ctx, t.found(e, TierRemote), life)
	}
	return t.serveOld()
}

// serveOld returns the stale value that the look-up has found, if it may be returned at once.
func (t *fetch[K, V]) serveOld() (answer[V], bool) {
	if t.background || time.Since(t.old.since) >= t.c.opts.StaleWhileRevalidate {
		return answer[V]{}, false
	}
	a := t.old.answer(t.old.entry)
	a.due = true
	return a, true
}

// answer returns the answer that e gives, which has the value of o.
func (o *old[V]) answer(e *entry[V]) answer[V] {
	return answer[V]{entry: e, from: o.from, epoch: o.epoch, turn: o.turn, standsIn: true, stale: !time.Now().Before(o.since)}
}

// whileDown returns the local copy of t.key that is not trusted any more, if the remote tier
// does not answer: see StaleIfRemoteDown. If the remote tier has answered, it has no valid value
// any more, and the copy goes. A key whose own invalidation is queued is not asked for: then the
// copy is of a load after that.
func (t *fetch[K, V]) whileDown() (a answer[V], ok bool) {
	if t.c.opts.StaleIfRemoteDown == 0 {
		return a, false
	}
	s, ok := t.c.local.Stale(t.key)
	if !ok || !s.Value.unsure {
		return a, false
	}
	if t.seen.err == nil {
		if t.old == nil { // or the answer is a value that is to be replaced
			t.flight.Publish(func() { t.c.local.Remove(t.key) })
		}
		return a, false
	}
	if t.load == nil || t.background || !t.c.invalidations.EntryValid(s.Value.tags, &s.Value.epoch) {
		return a, false
	}
	a = t.found(s.Value, TierLocal)
	a.standsIn, a.stale = true, true
	return a, t.flight.Publish(func() {})
}

// standby returns the stale value that the local tier has of key, if a caller need not wait
// for a load that goes on: one in the background within StaleWhileRevalidate, or one that
// takes long within StaleIfError.
func (c *Cache[K, V]) standby(key K) (a answer[V], ok bool) {
	o := c.localOld(key)
	if o == nil {
		return a, false
	}
	age := time.Since(o.since)
	waits := o.entry.replaced.Load() && age < c.opts.StaleWhileRevalidate
	late := c.loads.Interim(key) && age < c.window()
	return o.answer(o.entry), waits || late
}

// meanwhile returns the value of t.old while another instance loads the key, unless the key or
// a tag was invalidated.
func (t *fetch[K, V]) meanwhile() (a answer[V], ok bool) {
	usable := t.flight.Publish(func() {}) && t.c.invalidations.EntryValid(t.old.entry.tags, &t.old.entry.epoch) &&
		time.Since(t.old.since) < t.c.window()
	return t.old.answer(t.old.entry), usable
}

// inPlaceOfLoad returns the value that a load was to replace, if the value may be returned in
// place of the load. The local tier serves a stale one for StalePause, so that the source is
// left alone. An invalidation of the key has doomed or detached the flight, and one of a
// tag has made the entry invalid: then there is no such value.
func (t *fetch[K, V]) inPlaceOfLoad(ctx context.Context) (a answer[V], ok bool) {
	if t.old == nil || !t.c.invalidations.EntryValid(t.old.entry.tags, &t.old.entry.epoch) {
		return a, false
	}
	window := t.c.opts.StaleIfError
	if t.background {
		window = t.c.window()
	}
	age := time.Since(t.old.since)
	if age < 0 { // the tiers have the value, and go on serving it
		return t.old.answer(t.old.entry), t.flight.Publish(func() {})
	}
	pause := min(t.c.opts.StalePause, window-age)
	if pause <= 0 {
		return a, false
	}
	e := &entry[V]{value: t.old.entry.value, tags: t.old.entry.tags, staleFor: age + pause}
	e.epoch.Store(t.old.entry.epoch.Load())
	kept := remainder(t.old.left, time.Since(t.old.found))
	life := withWindow(kept, pause, remainder(t.c.window(), age+pause))
	cost := t.c.cost(t.key, e)
	var evicted []local.Evicted[K, *entry[V]]
	usable := t.flight.Publish(func() {
		if !t.c.opts.RemoteOnly && !t.c.gate.isClosed() {
			evicted = t.c.local.Add(t.key, e, cost, life)
		}
	})
	t.c.traceEvicted(ctx, evicted)
	return t.old.answer(e), usable
}

// forgetOld removes the value that a load replaces from the local tier, because the load has
// succeeded.
func (t *fetch[K, V]) forgetOld() {
	if t.old != nil && !t.c.opts.RemoteOnly {
		t.flight.Publish(func() { t.c.local.Remove(t.key) })
	}
}

// afterSoftTimeout delivers the value that a load replaces LoadSoftTimeout from now,
// unless stop is called before. stop returns when nothing more is delivered.
func (t *fetch[K, V]) afterSoftTimeout(ctx context.Context) (stop func()) {
	if t.c.opts.LoadSoftTimeout == 0 || t.old == nil {
		return func() {}
	}
	done := make(chan struct{})
	timer := time.AfterFunc(t.c.opts.LoadSoftTimeout, func() {
		defer close(done)
		defer t.c.logPanic(ctx) // of a Cost or a Trace
		if a, ok := t.inPlaceOfLoad(ctx); ok {
			t.flight.DeliverInterim(a)
		}
	})
	return sync.OnceFunc(func() {
		if !timer.Stop() {
			<-done
		}
	})
}

// pauseAfter is for how long the callers of an instance get its stale copy after a load in the
// background, if another instance loads the key: then the load has replaced nothing.
const pauseAfter = 20 * time.Millisecond

// replacement is a load in the background that replaces a value, which callers go on to get.
type replacement[K comparable, V any] struct {
	t     *fetch[K, V]
	e     *entry[V]
	pause time.Duration // how long after its end the next one may begin
	alone bool          // it counts in revalidating
	began atomic.Bool
	over  sync.Once
}

// claim returns the replacement of e, which is stale, or which draw has picked. It reports false
// if another caller has claimed it, or the cache is closed. end is to be called in the end.
func (c *Cache[K, V]) claim(key K, load func(context.Context, K) (V, error), e *entry[V], draw float64) (*replacement[K, V], bool) {
	if c.loads.Has(key) || !e.replaced.CompareAndSwap(false, true) || !c.gate.enter() {
		return nil, false
	}
	t := c.newFetch(key, load, 0)
	t.background, t.draw = true, draw
	return &replacement[K, V]{t: t, e: e, pause: c.opts.StalePause}, true // also if the load panics, which leaves no stand-in
}

// work is the work of the flight of r, whose Load calls end.
func (r *replacement[K, V]) work() loader.Work[answer[V]] {
	c := r.t.c
	work := loader.Work[answer[V]]{Load: r.load, Born: c.invalidations.Epoch(), Patience: c.patience(), Interim: c.opts.LoadSoftTimeout > 0}
	if c.opts.RemoteOnly {
		work.Born = c.nextTurn()
	}
	return work
}

func (r *replacement[K, V]) load(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
	r.began.Store(true)
	defer r.end() // which may be later than the end of Do
	a, err := r.t.run(ctx, f)
	if r.t.draw == 0 { // a stale value that stands in for the load keeps the pause itself
		r.pause = pauseAfter
	}
	return a, err
}

// end allows the next replacement after the pause.
func (r *replacement[K, V]) end() {
	r.over.Do(func() {
		time.AfterFunc(r.pause, func() { r.e.replaced.Store(false) })
		if r.alone {
			r.t.c.revalidating.Add(-1)
		}
		r.t.c.gate.leave()
	})
}

// endUnlessBegun ends r if its work has not begun, because another load of the key went on.
func (r *replacement[K, V]) endUnlessBegun() {
	if !r.began.Load() {
		r.end()
	}
}

// revalidateLater loads key in the background, after a caller got the value of e, which is
// stale, or which draw has picked. Only one caller that got e starts the load, and no more than
// MaxLoads run and wait.
func (c *Cache[K, V]) revalidateLater(ctx context.Context, key K, load func(context.Context, K) (V, error), e *entry[V], draw float64) {
	r, ok := c.claim(key, load, e, draw)
	if !ok {
		return
	}
	if int(c.revalidating.Add(1)) > c.opts.MaxLoads {
		c.revalidating.Add(-1)
		e.replaced.Store(false)
		c.gate.leave()
		return
	}
	r.alone = true
	ctx = c.limit.Outside(context.WithoutCancel(ctx))
	go func() {
		defer c.logPanic(ctx)
		defer r.endUnlessBegun()
		_, _ = c.loads.Do(ctx, key, r.work())
	}()
}

// logPanic recovers a panic of a goroutine whose callers cannot be told of it, and logs that.
func (c *Cache[K, V]) logPanic(ctx context.Context) {
	if p := recover(); p != nil {
		c.opts.Logger.ErrorContext(ctx, "a load in the background panicked", "cache", c.opts.Name, "panic", p)
	}
}
