package scenario

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/load"
	"github.com/nearside-go/nearside/examples/concert/system/page"
)

// scenario is something that happens while a load runs.
type scenario struct {
	name string

	// act does it. Its remark is for the table.
	act func(ctx context.Context, w *World, s *Side) (remark string, err error)

	// cachedOnly is a scenario that means nothing to a service without a cache: its load runs
	// there, and nothing happens. In a short run that is so for all scenarios.
	cachedOnly bool

	// noRedis is a scenario in which Redis is away for a while.
	noRedis bool
}

// agreesWithin is how soon after the scenario all instances have to show what the database has.
func (sc scenario) agreesWithin() time.Duration {
	if sc.noRedis {
		return agreeAfterOutage
	}
	return seenWithin
}

// Cell is the result of a load on one side.
type Cell struct {
	load.Report
	Requests int64 // of the users and of the scenario itself
	Queries  int64 // that reached the database, outside of transactions
	Remark   string
	Err      error // why the row is not as it should be
}

// Row is a scenario on both sides.
type Row struct {
	Name          string
	Cached, Plain Cell
}

// Err returns why the row is not as it should be.
func (r Row) Err() error {
	for _, side := range []struct {
		name string
		Cell
	}{{"with nearside", r.Cached}, {"without a cache", r.Plain}} {
		if side.Err != nil {
			return fmt.Errorf("%s, %s: %w", r.Name, side.name, side.Err)
		}
		if side.Failures > 0 {
			return fmt.Errorf("%s, %s: %d of %d requests failed, the first with: %w", r.Name, side.name, side.Failures, side.Requests, side.First)
		}
	}
	return nil
}

// play plays a scenario on both sides, one after the other, each for at least a time.
func (w *World) play(ctx context.Context, sc scenario, least time.Duration) Row {
	row := Row{Name: sc.name}
	w.playing.Store(&sc.name)
	w.report(page.Scenario, sc.name)
	row.Cached = w.playOn(ctx, w.Cached, sc.act, least)
	if row.Cached.Err == nil { // the other side reads all of it from the database
		row.Cached.Err = w.Cached.agree(ctx, sc.agreesWithin())
	}
	w.tell("with nearside", row.Cached)
	act := sc.act
	if sc.cachedOnly || w.brief {
		act = quiet
	}
	row.Plain = w.playOn(ctx, w.Plain, act, least)
	w.tell("without any cache", row.Plain)
	return row
}

// tell reports the result of a load to the page.
func (w *World) tell(side string, c Cell) {
	if c.Err != nil {
		w.report(page.Wrong, fmt.Sprintf("%s: %v", side, c.Err))
		return
	}
	kind := page.Result
	if c.Failures > 0 {
		kind = page.Wrong
	}
	w.report(kind, fmt.Sprintf("%s: %d requests, %d failed, %d database queries", side, c.Requests, c.Failures, c.Queries))
}

func (w *World) playOn(ctx context.Context, s *Side, act func(context.Context, *World, *Side) (string, error), least time.Duration) Cell {
	before, err := s.counts(ctx)
	if err != nil {
		return Cell{Err: err}
	}
	sent := s.Users.Requests()
	var own atomic.Int64
	ctx = context.WithValue(ctx, asked{}, &own)
	s.busy.Store(true)
	s.load = s.Users.Start(ctx)
	over := time.After(least)
	pause(ctx, least/5) // so that the act meets a load
	var c Cell
	c.Remark, c.Err = act(ctx, w, s)
	wait(ctx, over)
	c.Report = s.load.Stop()
	c.Requests = s.Users.Requests() - sent + own.Load()
	s.busy.Store(false)
	after, err := s.counts(ctx)
	if c.Err == nil {
		c.Err = err
	}
	c.Queries = after.Sub(before).Reads
	s.requests.Add(c.Requests)
	s.queries.Add(c.Queries)
	if c.Err == nil {
		c.Err = s.Users.Ledger.Check(ctx, s.Store)
	}
	return c
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) { wait(ctx, time.After(d)) }

// wait waits until a time is over, or ctx ends.
func wait(ctx context.Context, over <-chan time.Time) {
	select {
	case <-ctx.Done():
	case <-over:
	}
}
