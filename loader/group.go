package loader

import (
	"context"
	"runtime/debug"
	"sync"
	"time"
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

	// Patience is how long a caller waits for a flight that has delivered its result
	// and goes on, as to store it. After that the flight is silenced, and another takes its
	// place.
	Patience time.Duration
}

// Do returns the result of key's flight, which it starts with work if there is
// none.
//
// A caller whose ctx ends leaves at once with ctx's error, and the flight goes
// on for the others. When the work panics, each caller panics with a [*Panic];
// when it calls runtime.Goexit, each gets [ErrGoexit], but for a first caller on
// whose own goroutine Quick did so.
func (g *Group[K, V]) Do(ctx context.Context, key K, work Work[V]) (V, error) {
	var zero V
	waited := time.Duration(0)
	for {
		f, role := g.join(key, work, waited)
		switch role {
		case settler:
			waited += f.settle(ctx, work.Patience-waited)
			if ctx.Err() != nil {
				return zero, ctx.Err()
			}
			continue
		case leader:
			g.start(context.WithoutCancel(ctx), key, f, work)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			if !f.delivered() {
				g.leave(key, f)
				return zero, ctx.Err()
			}
		}
		return f.result()
	}
}

// role is what a caller has to do for a flight.
type role int

const (
	waiter  role = iota // wait for its result
	leader              // start it
	settler             // wait until it is over, and join again
)

// join makes the caller one of the waiters of key's flight, which it may have to start,
// unless it has waited for less than its Patience for one that has delivered its result.
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
		g.silenceLocked(key, f, silenced) // no Doom will find it
	}
	f = &Flight[V]{
		waiters: 1, born: work.Born, waited: waited,
		done: make(chan struct{}), over: make(chan struct{}),
	}
	if key != key { // no delete would find the flight again
		return f, leader
	}
	if g.flights == nil {
		g.flights = make(map[K]*Flight[V])
	}
	g.flights[key] = f
	return f, leader
}

// settle returns when f is over, or patience, or ctx, and how long that took.
func (f *Flight[V]) settle(ctx context.Context, patience time.Duration) time.Duration {
	start := time.Now()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-f.over:
	case <-ctx.Done():
	case <-late.C:
		return max(patience, time.Since(start)) // so that it is spent by any clock
	}
	return time.Since(start)
}

// Settle returns when key has no flight that has delivered its result and goes on, or at
// the end of patience, or of ctx, and how long that took.
func (g *Group[K, V]) Settle(ctx context.Context, key K, patience time.Duration) time.Duration {
	g.mu.Lock()
	f := g.flights[key]
	g.mu.Unlock()
	if f == nil || !f.delivered() {
		return 0
	}
	return f.settle(ctx, patience)
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
		defer close(f.over)
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
	close(f.over)
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
