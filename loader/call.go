package loader

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/internal/stack"
)

// Call is a caller's part in the flight of a key. A caller that wants the results of many keys
// begins a Call for each of them, and then waits for one after the other, on one goroutine.
// Of its methods only Urge is safe for concurrent use.
type Call[K comparable, V any] struct {
	g       *Group[K, V]
	key     K
	f       *Flight[V]
	role    role
	interim chan struct{} // of the flight, if a value that stands in is for this caller; or nil
}

// Begin makes the caller one of the callers of key's flight, as Do does, and does not wait. Of
// work it uses Born, NotBefore, Interim and Patience. It reports false if the key has a flight
// that has delivered its result and still runs: then the caller has joined nothing, and may call
// Do.
//
// If the flight is new, which Leads reports, it waits for the caller to call Go, unless a Try
// has ended the flight. In any case the caller has to call Wait in the end.
func (g *Group[K, V]) Begin(key K, work Work[V]) (Call[K, V], bool) {
	c := g.call(key, work, 0)
	return c, c.role != settler
}

func (g *Group[K, V]) call(key K, work Work[V], waited time.Duration) Call[K, V] {
	f, role := g.join(key, work, waited)
	c := Call[K, V]{g: g, key: key, f: f, role: role, interim: f.interim}
	if role == waiter && f.early() {
		c.interim = nil // for callers that came before
	}
	return c
}

// Leads reports whether the caller has started the flight.
func (c Call[K, V]) Leads() bool { return c.role == leader }

// Try runs quick as a part of the work of a flight that the caller leads, on the caller's
// goroutine and with its ctx. It reports whether the flight has ended: with the result that
// quick has found, or because quick has panicked. If quick ends the goroutine, the flight has
// ended, too.
func (c Call[K, V]) Try(ctx context.Context, quick func(context.Context, *Flight[V]) (value V, err error, found bool)) (over bool) {
	return c.g.run(ctx, c.key, c.f, quick)
}

// Go runs load as the rest of the work of a flight that the caller leads, on a goroutine of its
// own, like the Load of a Work.
func (c Call[K, V]) Go(ctx context.Context, load func(context.Context, *Flight[V]) (V, error)) {
	c.start(context.WithoutCancel(ctx), load)
}

func (c Call[K, V]) start(ctx context.Context, load func(context.Context, *Flight[V]) (V, error)) {
	ctx, c.f.cancel = context.WithCancel(ctx)
	c.g.running.Go(func() {
		stack.Grow()
		defer c.f.cancel()
		c.g.run(ctx, c.key, c.f, func(ctx context.Context, f *Flight[V]) (V, error, bool) {
			value, err := load(ctx, f)
			return value, err, true
		})
	})
}

// Urge tells the flight that the caller has little time left: see Flight.WhenUrged. It may be
// called at any time.
func (c Call[K, V]) Urge() { c.f.urge() }

// Wait returns the result of the flight, and panics, like Do.
func (c Call[K, V]) Wait(ctx context.Context) (V, error) {
	select {
	case <-c.f.done:
	case <-c.interim:
		return c.f.standIn, nil
	case <-ctx.Done():
		if !c.f.delivered() {
			c.g.leave(c.key, c.f)
			var zero V
			return zero, ctx.Err()
		}
	}
	return c.f.result()
}
