package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// outage reads many products in a row on B, and stops Redis in between. A read
// that fails does not end the loop: how many did is what the step shows.
func (t *tour) outage(ctx context.Context, o *outcome) error {
	var failed int
	var last error
	var slowest time.Duration
	for id := firstOfMany; id <= lastOfMany; id++ {
		if id == cutBefore {
			t.link.cut()
		}
		a, err := t.read(ctx, t.b, seeded(id), o)
		if err != nil {
			failed, last = failed+1, err
		}
		slowest = max(slowest, a.took)
	}
	o.remark = fmt.Sprintf("%d failed, slowest %v", failed, short(slowest))
	if failed > 0 {
		return fmt.Errorf("%d reads failed, the last one: %w", failed, last)
	}
	return nil
}

// bringBack brings Redis back and waits until both instances use it again. Nobody
// has to read for that: a store that has given Redis up asks in the background.
func (t *tour) bringBack(ctx context.Context, _ *outcome) error {
	if !t.b.store.Stats().BreakerOpen {
		return errors.New("instance B has not noticed that Redis was away")
	}
	if err := t.link.restore(); err != nil {
		return err
	}
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for t.a.store.Stats().BreakerOpen || t.b.store.Stats().BreakerOpen {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return fmt.Errorf("nobody finds that Redis is back: %w", ctx.Err())
		}
	}
	return nil
}

// readNew reads a product that neither tier has on A, and then on B: Redis is
// written and read as before.
func (t *tour) readNew(ctx context.Context, o *outcome) error {
	if _, err := t.read(ctx, t.a, seeded(fresh), o); err != nil {
		return err
	}
	_, err := t.read(ctx, t.b, seeded(fresh), o)
	return err
}
