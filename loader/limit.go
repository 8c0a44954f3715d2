package loader

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Limit bounds how many loads run at a time. It is safe for concurrent use. Callers over
// the limit wait, and get their places in the order in which they came.
type Limit struct {
	slots *semaphore.Weighted
}

// NewLimit returns a Limit of n loads. It panics if n is not positive.
func NewLimit(n int) *Limit {
	if n <= 0 {
		panic("loader: a limit must be positive")
	}
	return &Limit{slots: semaphore.NewWeighted(int64(n))}
}

// inside is the key by which the context of a load is marked as running within a Limit.
type inside struct{ *Limit }

// Run waits for a place, calls load in the place, and gives the place back, also when load
// panics. If ctx ends first, Run returns ctx's error, and does not call load.
//
// A Run with the context that load receives, or with a context made from that one, takes no
// place. Otherwise loads that load could all wait at once for places that their own callers
// hold.
func (l *Limit) Run(ctx context.Context, load func(context.Context)) error {
	if l.isInside(ctx) {
		load(ctx)
		return nil
	}
	if err := l.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer l.slots.Release(1)
	load(context.WithValue(ctx, inside{l}, true))
	return nil
}

// Outside returns ctx for a load that outlives the load whose context ctx is made from: a Run
// with the result takes a place.
func (l *Limit) Outside(ctx context.Context) context.Context {
	if !l.isInside(ctx) {
		return ctx
	}
	return context.WithValue(ctx, inside{l}, nil)
}

func (l *Limit) isInside(ctx context.Context) bool { return ctx.Value(inside{l}) != nil }

// Place is a place within a Limit, for one load. Its holder calls Run or Leave, once.
type Place struct {
	limit *Limit
	free  bool // occupies no place, as a Run within a Run does not
}

// Wait waits for a place. If ctx ends first, Wait returns ctx's error. With the context of a
// load, or one made from that context, the place costs nothing, as in Run.
func (l *Limit) Wait(ctx context.Context) (*Place, error) {
	if l.isInside(ctx) {
		return &Place{l, true}, nil
	}
	if err := l.slots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return &Place{l, false}, nil
}

// Try is Wait that does not wait: it returns nil if no place is free at once.
func (l *Limit) Try(ctx context.Context) *Place {
	if l.isInside(ctx) {
		return &Place{l, true}
	}
	if !l.slots.TryAcquire(1) {
		return nil
	}
	return &Place{l, false}
}

// Run calls load in the place, and gives the place back, also when load panics. Run ignores
// the end of ctx, and returns nil.
func (p *Place) Run(ctx context.Context, load func(context.Context)) error {
	defer p.Leave()
	load(p.Within(ctx))
	return nil
}

// Within returns the context of a load in the place, which the caller gives back itself.
func (p *Place) Within(ctx context.Context) context.Context {
	return context.WithValue(ctx, inside{p.limit}, true)
}

// Leave gives the place back.
func (p *Place) Leave() {
	if !p.free {
		p.limit.slots.Release(1)
	}
}
