package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	crowd = 200 // readers who want one product at once

	// slowness is added to the one query that they share. SQLite would answer
	// before the last of them has come.
	slowness = 20 * time.Millisecond
)

// contend lets a crowd of readers, half of them on each instance, read one
// product that neither tier has.
func (t *tour) contend(ctx context.Context, o *outcome) error {
	o.remark = fmt.Sprintf("its query takes %v", slowness)
	var readers sync.WaitGroup
	answers, errs := make([]answer, crowd), make([]error, crowd)
	begin := make(chan struct{})
	for n := range crowd {
		i := []*instance{t.a, t.b}[n%2]
		readers.Go(func() {
			<-begin
			answers[n], errs[n] = i.read(ctx, contended, t.selectSlowly)
		})
	}
	start := time.Now()
	close(begin)
	readers.Wait()
	o.took = time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return o.count(seeded(contended), answers...)
}

// selectSlowly is the loader for a product whose query takes its time.
func (t *tour) selectSlowly(ctx context.Context, id int64) (product, error) {
	select {
	case <-time.After(slowness):
		return t.source.selectByID(ctx, id)
	case <-ctx.Done():
		return product{}, ctx.Err()
	}
}
