package loader

import (
	"context"
	"sync"
	"time"
)

// Group runs one load at a time for each key, and shares the result among the callers that
// ask while the load runs. The zero value is ready for use. All methods are safe for
// concurrent use. A key that does not equal itself, such as a NaN, has a flight for each
// caller, and no other method finds these flights.
//
// Lock order: Group.mu before Flight.mu.
type Group[K comparable, V any] struct {
	mu      sync.Mutex // guards flights, and the waiters of each flight
	flights map[K]*Flight[V]
	running sync.WaitGroup
}

// Work is the work of a flight to find its result.
type Work[V any] struct {
	// Quick is tried before Load, unless Quick is nil. It runs on the first caller's own
	// goroutine, which saves the switch to another goroutine and back. Quick must be fast,
	// because the first caller cannot leave while Quick runs. The context of Quick has the
	// values of the first caller's context, and never ends. found reports whether Quick
	// has found the result. If not, Load runs.
	Quick func(context.Context, *Flight[V]) (value V, err error, found bool)

	// Load finds the result, on a goroutine of its own. Its context has the values of the
	// first caller's context, but neither the deadline nor the cancellation. The context
	// ends when the last caller has left, and when Load returns.
	Load func(context.Context, *Flight[V]) (V, error)

	// Born is the time at which the flight would be started, in any numbers that grow; zero
	// is allowed. A caller does not join a flight that was born before NotBefore: that
	// flight is detached, and a new flight replaces it.
	Born, NotBefore uint64

	// Interim allows the flight to call DeliverInterim.
	Interim bool

	// Patience is how long a caller waits for a flight that has delivered its result and
	// still runs, as to store the result. After that time the flight is detached, and a new
	// flight replaces it.
	Patience time.Duration

	// Joined is called when the caller joins a flight of another caller, or waits for the end
	// of one, unless Joined is nil.
	Joined func()

	// Need is how long before the end of its ctx a caller urges the flight: see
	// Flight.WhenUrged. 0 means never. A ctx without a deadline urges no flight.
	Need time.Duration
}

// Do returns the result of key's flight. If there is no flight, Do starts one with work.
//
// A caller whose ctx ends leaves at once with ctx's error, and the flight goes on for the
// other callers. When the work panics, each caller panics with a [*Panic]. When the work
// calls runtime.Goexit, each caller gets [ErrGoexit], except a first caller whose own
// goroutine ended in Quick.
func (g *Group[K, V]) Do(ctx context.Context, key K, work Work[V]) (V, error) {
	waited := time.Duration(0)
	for {
		c := g.call(key, work, waited)
		if c.role != leader && work.Joined != nil {
			work.Joined()
		}
		switch c.role {
		case settler:
			waited += c.f.settle(ctx, work.Patience-waited)
			if ctx.Err() != nil {
				var zero V
				return zero, ctx.Err()
			}
			continue
		case leader:
			ctx := context.WithoutCancel(ctx)
			if work.Quick == nil || !c.Try(ctx, work.Quick) {
				c.start(ctx, work.Load)
			}
		}
		if urge := c.f.urgeBefore(ctx, work.Need); urge != nil {
			defer urge.Stop()
		}
		return c.Wait(ctx)
	}
}

// urgeBefore urges f at a time before the deadline of ctx, unless the timer is stopped before;
// nil if there is no such time.
func (f *Flight[V]) urgeBefore(ctx context.Context, need time.Duration) *time.Timer {
	deadline, ok := ctx.Deadline()
	if !ok || need == 0 || f.delivered() {
		return nil
	}
	return time.AfterFunc(time.Until(deadline)-need, f.urge)
}

// role is the task of a caller that has joined a flight.
type role int

const (
	waiter  role = iota // waits for the flight's result
	leader              // starts the flight
	settler             // waits until the flight has ended, and joins again
)

// join returns key's flight and the caller's role in it. The caller is a waiter of a
// running flight, or the leader of a new one. Where the flight has delivered its result and
// still runs, the caller is a settler, until it has waited for its Patience.
func (g *Group[K, V]) join(key K, work Work[V], waited time.Duration) (f *Flight[V], _ role) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.flights[key]; f != nil {
		switch {
		case f.born >= work.NotBefore && !f.delivered():
			f.waiters++
			return f, waiter
		case f.born >= work.NotBefore && waited < work.Patience:
			return f, settler
		}
		g.detachLocked(key, f, detached) // no Doom will find f
	}
	f = &Flight[V]{
		waiters: 1, born: work.Born, waited: waited,
		done: make(chan struct{}), over: make(chan struct{}),
	}
	if work.Interim {
		f.interim = make(chan struct{})
	}
	if key != key { // delete would not find the flight again
		return f, leader
	}
	if g.flights == nil {
		g.flights = make(map[K]*Flight[V])
	}
	g.flights[key] = f
	return f, leader
}

// settle returns when f has ended, or after patience, or when ctx ends. It returns the time
// that passed.
func (f *Flight[V]) settle(ctx context.Context, patience time.Duration) time.Duration {
	start := time.Now()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-f.over:
	case <-ctx.Done():
	case <-late.C:
		return max(patience, time.Since(start)) // patience is used up by any clock
	}
	return time.Since(start)
}

// Settle waits while key has a flight that has delivered its result and still runs, for at
// most patience, or until ctx ends. It returns the time that passed.
func (g *Group[K, V]) Settle(ctx context.Context, key K, patience time.Duration) time.Duration {
	g.mu.Lock()
	f := g.flights[key]
	g.mu.Unlock()
	if f == nil || !f.delivered() {
		return 0
	}
	return f.settle(ctx, patience)
}

// run calls try to find the flight's result, and reports whether the flight has ended: with
// a result, a panic or the end of the goroutine.
func (g *Group[K, V]) run(ctx context.Context, key K, f *Flight[V], try func(context.Context, *Flight[V]) (V, error, bool)) (over bool) {
	returned := false
	defer func() {
		if returned {
			return
		}
		over = true
		p := recover()
		g.remove(key, f)
		defer close(f.over)
		if p != nil {
			f.deliverPanic(NewPanic(p))
			return
		}
		var zero V
		f.Deliver(zero, ErrGoexit)
	}()
	value, err, found := try(ctx, f)
	returned = true
	if !found {
		return false
	}
	// Removed first: a caller that comes after the delivery starts a new flight, and never
	// inherits an error from a flight that has ended.
	g.remove(key, f)
	f.Deliver(value, err)
	close(f.over)
	return true
}

// leave takes a caller off f. When the last caller leaves, the load is cancelled. The
// flight publishes nothing any more, because no Doom will find it.
func (g *Group[K, V]) leave(key K, f *Flight[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.waiters--
	if f.waiters > 0 || f.early() {
		return
	}
	g.detachLocked(key, f, abandoned)
	f.cancel()
}

// detachLocked takes f out of the group and forbids f to publish, in one step. In two steps
// there would be a race:
//
//  1. Doom A takes the flight out.
//  2. Doom B finds no flight. B's caller drops the local copy, and returns.
//  3. The flight, not doomed yet, publishes a value that was loaded before B.
//  4. Doom A dooms the flight.
//
// Until A's caller drops the copy too, everybody reads the value that B has invalidated.
func (g *Group[K, V]) detachLocked(key K, f *Flight[V], why fate) {
	if g.flights[key] == f {
		delete(g.flights, key)
	}
	f.detach(why)
}

func (g *Group[K, V]) remove(key K, f *Flight[V]) {
	g.mu.Lock()
	if g.flights[key] == f {
		delete(g.flights, key)
	}
	g.mu.Unlock()
}

// Doom invalidates the result of key's flight, if there is one: the callers that wait still
// get the result, the flight publishes nothing from now on, and later callers start a new
// flight. A result that the flight has published before stays: the caller removes it, after
// Doom.
func (g *Group[K, V]) Doom(key K) { g.DoomAnd(key, func() {}) }

// DoomAnd dooms key's flight, and calls store before a new flight can start. So the result
// that store leaves is newer than everything published before, and older than everything
// published later. store must be quick, and must not call the group.
func (g *Group[K, V]) DoomAnd(key K, store func()) { g.takeOut(key, doomed, store) }

// DetachAnd takes key's flight out of the group without invalidating its result, and calls
// store before a new flight can start. The flight publishes nothing. Unlike after Doom, it may
// still store its result elsewhere: Doomed reports false. store must be quick, and must not
// call the group.
func (g *Group[K, V]) DetachAnd(key K, store func()) { g.takeOut(key, detached, store) }

func (g *Group[K, V]) takeOut(key K, why fate, store func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.flights[key]; f != nil {
		g.detachLocked(key, f, why)
	}
	store()
}

// Has reports whether key has a flight.
func (g *Group[K, V]) Has(key K) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flights[key] != nil
}

// Settles reports whether key has a flight that Settle would wait for.
func (g *Group[K, V]) Settles(key K) bool {
	g.mu.Lock()
	f := g.flights[key]
	g.mu.Unlock()
	return f != nil && f.delivered()
}

// Interim reports whether key has a flight whose load goes on after DeliverInterim.
func (g *Group[K, V]) Interim(key K) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.flights[key]
	return f != nil && f.early() && !f.delivered()
}

// Wait returns when no Load runs. A Load may run on after all callers of its flight have
// left. Call Wait only when every Do has returned, because a Do may start another Load.
func (g *Group[K, V]) Wait() { g.running.Wait() }
