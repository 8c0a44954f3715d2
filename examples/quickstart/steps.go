package main

import (
	"context"
	"errors"
	"time"
)

// read reads a product on an instance, checks it, and counts the read.
func (t *tour) read(ctx context.Context, i *instance, want product, o *outcome) (answer, error) {
	a, err := i.read(ctx, want.ID, t.source.selectByID)
	if err != nil {
		return a, err
	}
	return a, o.count(want, a)
}

// follow is a step that reads the product which the walk follows.
func (t *tour) follow(i *instance) func(context.Context, *outcome) error {
	return func(ctx context.Context, o *outcome) error {
		a, err := t.read(ctx, i, t.current, o)
		o.took = a.took
		return err
	}
}

// write changes the product which the walk follows, as a service would: the
// source first, then Invalidate, on the instance that wrote.
func (t *tour) write(ctx context.Context, o *outcome) error {
	t.current.Cents += 50
	if err := t.source.setPrice(ctx, t.current.ID, t.current.Cents); err != nil {
		return err
	}
	if err := t.a.products.Invalidate(ctx, t.current.ID); err != nil {
		return err
	}
	_, err := t.read(ctx, t.a, t.current, o)
	return err
}

// toldWithin is the longest that an instance may take to hear of a write of another, on
// a busy machine. A millisecond is usual.
const toldWithin = time.Second

// catchUp reads on B, which has a local copy of the old value, until it gets the
// new one. Only that last read is counted.
func (t *tour) catchUp(ctx context.Context, o *outcome) error {
	o.remark = "A's invalidation has told it"
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for start := time.Now(); time.Since(start) < toldWithin; <-pace.C {
		a, err := t.b.read(ctx, t.current.ID, t.source.selectByID)
		if err != nil {
			return err
		}
		if a.product == t.current {
			return o.count(t.current, a)
		}
	}
	return errors.New("nothing told B of the new price")
}

// readMany reads, on A, what B reads later, so that Redis has it.
func (t *tour) readMany(ctx context.Context, o *outcome) error {
	for id := firstOfMany; id <= lastOfMany; id++ {
		if _, err := t.read(ctx, t.a, seeded(id), o); err != nil {
			return err
		}
	}
	return nil
}

// newcomer reads on an instance that has just started.
func (t *tour) newcomer(ctx context.Context, o *outcome) error {
	c, err := t.newInstance()
	if err != nil {
		return err
	}
	return t.follow(c)(ctx, o)
}
