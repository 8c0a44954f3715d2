package loader

import (
	"context"
	"runtime/debug"
	"sync"
)

// Group runs one load at a time for each key and shares its result among the
// callers that ask meanwhile. The zero value is ready for use. All its methods
// are safe for concurrent use. A key that does not equal itself, such as a NaN, has a
// flight for each caller, which nothing finds again.
//
// Lock order: Group.mu before Flight.mu.
type Group[K comparable, V any] struct {
	mu      sync.Mutex // guards flights, and the waiters of each
	flights map[K]*Flight[V]
	running sync.WaitGroup
}

// Work is what a flight does to find its result.
type Work[V any] struct {
	// Quick is tried first, if it is not nil: on the first caller's own
	// goroutine, which saves the switch to another one and back. It must not
	// take long, since that caller cannot leave meanwhile. Its context has the
	// values of the first caller's and does not end. It reports whether it
	// found the result.
	Quick func(context.Context, *Flight[V]) (value V, err error, found bool)

	// Load finds the result, on a goroutine of the flight's own. Its context
	// has the values of the first caller's, and neither its deadline nor its
	// cancellation; it ends when the last caller has left, and when Load
	// returns.
	Load func(context.Context, *Flight[V]) (V, error)

	// Born is when the flight would be started, in any numbers that grow; zero will
	// do. A flight that was born before NotBefore is not shared: it is silenced, and
	// another takes its place.
	Born, NotBefore uint64
}

// Do returns the result of key's flight, which it starts with work if there is
// none.
//
// A caller whose ctx ends leaves at once with ctx's error, and the flight goes
// on for the others. When the work panics, each caller panics with a [*Panic];
// when it calls runtime.Goexit, each gets [ErrGoexit], but for a first caller on
// whose own goroutine Quick did so.
func (g *Group[K, V]) Do(ctx context.Context, key K, work Work[V]) (V, error) {
	f, first := g.join(key, work.Born, work.NotBefore)
	if first {
		g.start(context.WithoutCancel(ctx), key, f, work)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		if !f.delivered() {
			g.leave(key, f)
			var zero V
			return zero, ctx.Err()
		}
	}
	return f.result()
}

// join makes the caller one of the waiters of key's flight, and says whether it
// is the first one and has to start it.
func (g *Group[K, V]) join(key K, born, notBefore uint64) (f *Flight[V], first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.flights[key]; f != nil && !(f.delivered() && f.last) {
		if f.born >= notBefore {
			f.waiters++
			return f, false
		}
		g.silenceLocked(key, f, silenced) // no Doom will find it
	}
	f = &Flight[V]{waiters: 1, born: born, done: make(chan struct{})}
	if key != key { // no delete would find the flight again
		return f, true
	}
	if g.flights == nil {
		g.flights = make(map[K]*Flight[V])
	}
	g.flights[key] = f
	return f, true
}

func (g *Group[K, V]) start(ctx context.Context, key K, f *Flight[V], work Work[V]) {
	if work.Quick != nil && g.run(ctx, key, f, work.Quick) {
		return
	}
	ctx, f.cancel = context.WithCancel(ctx)
	g.running.Go(func() {
		defer f.cancel()
		g.run(ctx, key, f, func(ctx context.Context, f *Flight[V]) (V, error, bool) {
			value, err := work.Load(ctx, f)
			return value, err, true
		})
	})
}

// run tries to find the flight's result, and if it is found, or the attempt
// panics or ends its goroutine, the flight is over.
func (g *Group[K, V]) run(ctx context.Context, key K, f *Flight[V], try func(context.Context, *Flight[V]) (V, error, bool)) (over bool) {
	returned := false
	defer func() {
		if returned {
			return
		}
		over = true
		p := recover()
		g.remove(key, f)
		if p != nil {
			f.deliverPanic(&Panic{Value: p, Stack: debug.Stack()})
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
	// Removed first: who asks after the callers have their result starts anew,
	// and never inherits an error from a run that was over.
	g.remove(key, f)
	f.Deliver(value, err)
	return true
}

// leave takes a caller off f. When it was the last one, nobody is left to want
// the result: the load is cancelled, and publishes nothing, because no Doom will
// find it.
func (g *Group[K, V]) leave(key K, f *Flight[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.waiters--
	if f.waiters > 0 {
		return
	}
	g.silenceLocked(key, f, abandoned)
	f.cancel()
}

// silenceLocked takes f out of the group and silences it in one step. In two:
//
//  1. Doom A takes the flight out.
//  2. Doom B finds none. Its caller drops the local copy and returns.
//  3. The flight, not doomed yet, publishes what it loaded before B.
//  4. Doom A dooms it.
//
// Until A's caller drops the copy too, everybody reads what B declared wrong.
func (g *Group[K, V]) silenceLocked(key K, f *Flight[V], why fate) {
	if g.flights[key] == f {
		delete(g.flights, key)
	}
	f.silence(why)
}

func (g *Group[K, V]) remove(key K, f *Flight[V]) {
	g.mu.Lock()
	if g.flights[key] == f {
		delete(g.flights, key)
	}
	g.mu.Unlock()
}

// Doom makes key's flight, if there is one, keep its result to the callers that
// it has: it publishes nothing from now on, and whoever asks later starts a new
// flight. What it published before is for the caller to remove, after Doom.
func (g *Group[K, V]) Doom(key K) { g.DoomAnd(key, func() {}) }

// DoomAnd dooms key's flight and calls store before a new one can start. So what
// store leaves behind is newer than all that was published before, and older than
// all that is published later. It must be quick, and must not call the group.
func (g *Group[K, V]) DoomAnd(key K, store func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.flights[key]; f != nil {
		g.silenceLocked(key, f, doomed)
	}
	store()
}

// Silence is Doom without the verdict: the flight publishes nothing, and whoever asks
// later starts a new one, but what else becomes of its result is left to the flight.
func (g *Group[K, V]) Silence(key K) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.flights[key]; f != nil {
		g.silenceLocked(key, f, silenced)
	}
}

// Has reports whether key has a flight.
func (g *Group[K, V]) Has(key K) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flights[key] != nil
}

// Wait returns when no load runs any more. Call it when every Do has returned:
// loads may outlive the callers that left them.
func (g *Group[K, V]) Wait() { g.running.Wait() }
