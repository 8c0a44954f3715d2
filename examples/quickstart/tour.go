package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// The products, by what the walk does with them.
const (
	followed  int64 = 1 // read by everybody, and written
	contended int64 = 2 // cold, and wanted by many at once

	firstOfMany int64 = 101 // read in a loop, while Redis stops
	lastOfMany  int64 = 400
	cutBefore   int64 = 251

	fresh int64 = 401 // first read after the outage; the last there is
)

// tour is the walk, and all that it needs.
type tour struct {
	source *catalog
	server *server
	link   *link
	prefix string // of this run's keys
	a, b   *instance
	after  teardown

	current product // what the source has of followed
}

// prepare opens everything. What it opened is closed by t.after, also when it
// returns an error.
func (t *tour) prepare(redisURL string) (err error) {
	t.prefix, t.current = "quickstart-"+rand.Text()[:8], seeded(followed)
	if t.source, err = newCatalog(fresh); err != nil {
		return err
	}
	t.after.add(t.source.close)
	if t.server, err = newServer(redisURL); err != nil {
		return err
	}
	t.after.add(t.server.close)
	t.after.add(func() error { return t.server.sweep(t.prefix) })
	if t.link, err = newLink(t.server.dial); err != nil {
		return err
	}
	t.after.add(func() error { t.link.cut(); return nil })
	if t.a, err = t.newInstance(); err != nil {
		return err
	}
	t.b, err = t.newInstance()
	return err
}

func (t *tour) newInstance() (*instance, error) {
	i, err := newInstance(t.server.urlThrough(t.link), t.prefix)
	if err == nil {
		t.after.add(i.close)
	}
	return i, err
}

// step is one line of the walk. Its act returns an error if a read failed or
// returned a wrong value; who answered, and how many loads ran, are checked
// against want and loads.
type step struct {
	title string
	act   func(context.Context, *outcome) error
	want  tally // zero: anybody may answer
	loads int64
}

// walk takes the steps, one after the other, and stops at the first that is not
// as it should be.
func (t *tour) walk(ctx context.Context, w io.Writer) error {
	start := time.Now()
	printHeading(w, t.server.name)
	steps := t.steps()
	for _, s := range steps {
		o, err := t.take(ctx, s)
		printRow(w, s.title, o)
		if err != nil {
			return fmt.Errorf("%q: %w", s.title, err)
		}
	}
	fmt.Fprintf(w, "\nAll %d steps went as they should, in %s.\n", len(steps), short(time.Since(start)))
	return nil
}

func (t *tour) take(ctx context.Context, s step) (outcome, error) {
	var o outcome
	start, queries := time.Now(), t.source.queries.Load()
	err := s.act(ctx, &o)
	o.loads = t.source.queries.Load() - queries
	if o.took == 0 {
		o.took = time.Since(start)
	}
	switch {
	case err != nil:
		return o, err
	case s.want != tally{} && o.answers != s.want:
		return o, fmt.Errorf("answered by %v, which should be %v", o.answers, s.want)
	case o.loads != s.loads:
		return o, fmt.Errorf("%d loads, which should be %d", o.loads, s.loads)
	}
	return o, nil
}

// steps are the walk. The titles are what its reader sees.
func (t *tour) steps() []step {
	const many = int(lastOfMany - firstOfMany + 1)
	const early = int(cutBefore - firstOfMany)
	return []step{
		{"A reads a product", t.follow(t.a), tally{tierSource: 1}, 1},
		{"A reads it again", t.follow(t.a), tally{cache.TierLocal: 1}, 0},
		{"B reads it", t.follow(t.b), tally{cache.TierRemote: 1}, 0},
		{fmt.Sprintf("%d readers on A and B want one, at once", crowd), t.contend, tally{}, 1},
		{"A writes a new price, invalidates, reads", t.write, tally{tierSource: 1}, 1},
		{"B reads until it sees the new price", t.catchUp, tally{cache.TierRemote: 1}, 0},
		{fmt.Sprintf("A reads %d other products", many), t.readMany, tally{tierSource: many}, int64(many)},
		{fmt.Sprintf("B reads these %d; halfway, Redis stops", many), t.outage,
			tally{cache.TierRemote: early, tierSource: many - early}, int64(many - early)},
		{"Redis is back, and B finds out by itself", t.bringBack, tally{}, 0},
		{"A reads one more product, then B does", t.readNew, tally{tierSource: 1, cache.TierRemote: 1}, 1},
		{"C, a new instance, reads the first one", t.newcomer, tally{cache.TierRemote: 1}, 0},
	}
}
