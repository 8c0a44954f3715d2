package loader

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Limit bounds how many loads run side by side. It is safe for concurrent use;
// callers over the limit are served in the order in which they came.
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

// inside marks the context of a load that runs within a Limit.
type inside struct{ *Limit }

// Run waits for a place, calls load in it, and gives the place back, also when
// load panics. It returns ctx's error, without a call, if ctx ends first.
//
// A Run with the context that load receives, or one made from it, is free and
// takes no place: loads that load, which all may do at once, would otherwise wait
// for places that their own callers hold.
func (l *Limit) Run(ctx context.Context, load func(context.Context)) error {
	if ctx.Value(inside{l}) != nil {
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

// Place is a place within a Limit, for one load. Its holder calls Run or Leave, once.
type Place struct {
	limit *Limit
	free  bool // it takes none, as a Run within a Run does not
}

// Try takes a place if that needs no waiting, and returns nil otherwise. With the context
// of a load, or one made from it, the place is free, as in Run.
func (l *Limit) Try(ctx context.Context) *Place {
	if ctx.Value(inside{l}) != nil {
		return &Place{l, true}
	}
	if !l.slots.TryAcquire(1) {
		return nil
	}
	return &Place{l, false}
}

// Run calls load in the place, and gives the place back, also when load panics. It does not
// look at ctx, and returns nil.
func (p *Place) Run(ctx context.Context, load func(context.Context)) error {
	defer p.Leave()
	load(context.WithValue(ctx, inside{p.limit}, true))
	return nil
}

// Leave gives the place back.
func (p *Place) Leave() {
	if !p.free {
		p.limit.slots.Release(1)
	}
}
