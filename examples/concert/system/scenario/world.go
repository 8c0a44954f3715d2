// Package scenario plays what happens to a service in its life, under load, on two fleets: one
// with nearside, and one without any cache. Each scenario is a row of the table.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/clients"
	"github.com/nearside-go/nearside/examples/concert/system/database"
	"github.com/nearside-go/nearside/examples/concert/system/edge"
	"github.com/nearside-go/nearside/examples/concert/system/fleet"
	"github.com/nearside-go/nearside/examples/concert/system/load"
	"github.com/nearside-go/nearside/examples/concert/system/mail"
	"github.com/nearside-go/nearside/examples/concert/system/page"
	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/servers"
	"github.com/nearside-go/nearside/examples/concert/system/service"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

const (
	// size is how many instances a fleet has between the scenarios.
	size = 3

	// drain is for how long an instance is unready before it ends. The load balancer
	// asks ten times a second.
	drain = 300 * time.Millisecond
)

// Options configure a World.
type Options struct {
	Kind  string                            // of servers.Kinds
	Addr  string                            // where the load balancer listens for the fleet with nearside; a port of 0 is a free one
	Note  func(kind page.Kind, text string) // called for each event; nil for none
	Brief bool                              // fewer repetitions
}

// World is the whole system.
type World struct {
	*servers.Set
	Mail   *mail.Server
	Cached *Side
	Plain  *Side

	note    func(page.Kind, string)
	playing atomic.Pointer[string] // the name of the scenario
	brief   bool
	round   int            // counts the calls of Play
	closing []func() error // last come, first served
}

// Side is a fleet, and its own cache, database and users.
type Side struct {
	*fleet.Fleet
	Users *load.Users
	Store *store.Store
	Queue queue.Queue
	Edge  edge.Server

	counts func(context.Context) (database.Counts, error)
	price  atomic.Int64
	busy   atomic.Bool   // the users are active
	load   *load.Running // while they are

	// The sums of all loads that are over.
	requests, queries atomic.Int64
}

// nextPrice returns a price that no concert has.
func (s *Side) nextPrice() int64 { return firstPrice + s.price.Add(1) }

// firstPrice is above all prices that users set.
const firstPrice = 20_000

// Open starts the whole system. After an error nothing is left running.
func Open(ctx context.Context, o Options) (*World, error) {
	w := &World{note: o.Note, brief: o.Brief}
	if err := w.open(ctx, o); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *World) open(ctx context.Context, o Options) (err error) {
	if w.Set, err = servers.Start(ctx, o.Kind); err != nil {
		return err
	}
	w.closing = append(w.closing, w.Set.Close)
	if w.Mail, err = mail.Serve(); err != nil {
		return err
	}
	w.closing = append(w.closing, w.Mail.Close)
	if w.Cached, err = w.newSide(ctx, "nearside", w.Redis.URL(), w.Purgers[0], o.Addr); err != nil {
		return err
	}
	w.Plain, err = w.newSide(ctx, "plain", "", w.Purgers[1], "127.0.0.1:0")
	return err
}

// Close ends everything, the last started first.
func (w *World) Close() error {
	var errs []error
	for k := len(w.closing) - 1; k >= 0; k-- {
		errs = append(errs, w.closing[k]())
	}
	w.closing = nil
	return errors.Join(errs...)
}

func (w *World) newSide(ctx context.Context, name, redisURL, purger, addr string) (*Side, error) {
	s := &Side{}
	front, err := w.Balancer.Listen(name, addr)
	if err != nil {
		return nil, err
	}
	url := "http://" + front
	source, err := w.Database(ctx, name)
	if err != nil {
		return nil, err
	}
	w.closing = append(w.closing, source.Close)
	s.counts, s.Store = source.Count, store.New(source.Pool)
	if err := s.Store.Seed(ctx, load.Concerts, load.Seats); err != nil {
		return nil, fmt.Errorf("fill the database: %w", err)
	}
	if s.Queue, err = clients.Queue(w.Set.Queue, name); err != nil {
		return nil, err
	}
	w.closing = append(w.closing, func() error { s.Queue.Close(); return nil })
	if err := s.Queue.Create(ctx, service.Kinds[:]...); err != nil {
		return nil, err
	}
	if s.Edge, err = w.Edge(ctx, url, purger); err != nil {
		return nil, err
	}
	w.closing = append(w.closing, s.Edge.Close)
	s.Fleet = fleet.New(name, url, service.Config{
		Edge: s.Edge.URL(), Purger: purger, Prefix: name, Redis: redisURL, Database: source.URL, Queue: w.Set.Queue, Mail: w.Mail.URL(),
		Secret: "only for this example", Drain: drain,
	}, w.Balancer)
	w.closing = append(w.closing, func() error { s.Fleet.Kill(); return nil })
	if _, err := s.Fleet.Add(ctx, 1, size); err != nil {
		return nil, err
	}
	s.Users, err = load.NewUsers(ctx, url)
	return s, err
}

// event reports a step of a scenario to the page.
func (w *World) event(format string, args ...any) { w.report(page.Step, fmt.Sprintf(format, args...)) }

func (w *World) report(kind page.Kind, text string) {
	if w.note != nil {
		w.note(kind, text)
	}
}
