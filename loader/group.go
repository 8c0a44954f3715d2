package loader

import (
	"context"
	"runtime/debug"
	"sync"
)

// Group runs one load at a time for each key and shares its result among the
// callers that ask meanwhile. The zero value is ready for use. All its methods
// are safe for concurrent use.
//
// Lock order: Group.mu before Flight.mu.
type Group[K comparable, V any] struct {
	mu      sync.Mutex // guards flights, and the waiters of each
	flights map[K]*Flight[V]
	running sync.WaitGroup
}

// Do returns the result of key's flight, which it starts if there is none. The
// flight runs load on a goroutine of its own. The load's context has the values
// of the first caller's and neither its deadline nor its cancellation; it ends
// when the last caller has left, and when load returns.
//
// A caller whose ctx ends leaves at once with ctx's error, and the flight goes
// on for the others. When load panics, each caller panics with a [*Panic]; when
// it calls runtime.Goexit, each gets [ErrGoexit].
func (g *Group[K, V]) Do(ctx context.Context, key K, load func(context.Context, *Flight[V]) (V, error)) (V, error) {
	f := g.join(ctx, key, load)
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

func (g *Group[K, V]) join(ctx context.Context, key K, load func(context.Context, *Flight[V]) (V, error)) *Flight[V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.flights[key]; f != nil {
		f.waiters++
		return f
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &Flight[V]{cancel: cancel, waiters: 1, done: make(chan struct{})}
	if g.flights == nil {
		g.flights = make(map[K]*Flight[V])
	}
	g.flights[key] = f
	g.running.Go(func() { g.run(ctx, key, f, load) })
	return f
}

func (g *Group[K, V]) run(ctx context.Context, key K, f *Flight[V], load func(context.Context, *Flight[V]) (V, error)) {
	defer f.cancel()
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		g.remove(key, f)
		if p != nil {
			f.deliverPanic(&Panic{Value: p, Stack: debug.Stack()})
			return
		}
		var zero V
		f.Deliver(zero, ErrGoexit)
	}()
	value, err := load(ctx, f)
	returned = true
	// Removed first: who asks after the callers have their result starts anew,
	// and never inherits an error from a run that was over.
	g.remove(key, f)
	f.Deliver(value, err)
}

// leave takes a caller off f. When it was the last one, nobody is left to want
// the result: the load is cancelled, and doomed, because no Doom will find it.
func (g *Group[K, V]) leave(key K, f *Flight[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.waiters--
	if f.waiters > 0 {
		return
	}
	g.doomLocked(key, f)
	f.cancel()
}

// doomLocked takes f out of the group and dooms it in one step. In two:
//
//  1. Doom A takes the flight out.
//  2. Doom B finds none. Its caller drops the local copy and returns.
//  3. The flight, not doomed yet, publishes what it loaded before B.
//  4. Doom A dooms it.
//
// Until A's caller drops the copy too, everybody reads what B declared wrong.
func (g *Group[K, V]) doomLocked(key K, f *Flight[V]) {
	if g.flights[key] == f {
		delete(g.flights, key)
	}
	f.doom()
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
func (g *Group[K, V]) Doom(key K) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.flights[key]; f != nil {
		g.doomLocked(key, f)
	}
}

// Wait returns when no load runs any more. No Do may start meanwhile.
func (g *Group[K, V]) Wait() { g.running.Wait() }
