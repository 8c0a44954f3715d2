package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/local"

	"github.com/nearside-go/nearside/examples/concert/system/queue"
	"github.com/nearside-go/nearside/examples/concert/system/store"
)

// repositories are the values that the service reads.
type repositories struct {
	concerts   concerts
	categories *cached[string, []store.Category]
	notices    *cached[int64, []store.Notice]
	seats      *cached[int64, []int]
	sessions   *cached[string, string]
	all        []cacheOf
}

// cacheOf is a cached of any types.
type cacheOf interface {
	name() string
	close() error
	stats() cache.Stats
	redeliver(context.Context, cache.Undelivered) error
}

// tier has the parts that all caches share.
type tier struct {
	remote cache.Remote                             // nil is a service without a cache
	bury   func(context.Context, cache.Undelivered) // receives the invalidations that could not be delivered
	purge  func(tags ...string)                     // removes from the edge what was invalidated late
}

// purgesLate returns the Trace of a cache whose values are at the edge, too. The purge that follows
// each write is not enough for an invalidation that Redis has not confirmed by then.
func (t tier) purgesLate(tags func(cache.InvalidateInfo) []string) *cache.Trace {
	return &cache.Trace{Invalidate: func(_ context.Context, i cache.InvalidateInfo) {
		if i.Late && i.Err == nil {
			t.purge(tags(i)...)
		}
	}}
}

const (
	ttl = time.Minute

	// trusted is how long an instance that cannot read the log of invalidations serves a copy.
	trusted = 5 * time.Second
)

// options are those of all caches.
func options[K comparable, V any](name string, t tier) cache.Options[K, V] {
	return cache.Options[K, V]{
		Name: name, TTL: ttl, NotFoundTTL: 10 * time.Second,
		Local: local.Options{MaxEntries: 10_000, TTL: trusted}, Remote: t.remote,
		DeadLetters: t.bury,
	}
}

// allCategories is the only key of the categories.
const allCategories = "all"

func newRepositories(s *store.Store, version int, t tier) (*repositories, error) {
	r := &repositories{}
	var errs [5]error
	switch version {
	case 1:
		r.concerts, errs[0] = newConcerts(s, t, version, toV1, V1.view)
	case 2:
		r.concerts, errs[0] = newConcerts(s, t, version, toV2, V2.view)
	default:
		return nil, fmt.Errorf("there is no version %d of the service", version)
	}
	r.categories, errs[1] = newCached(options[string, []store.Category]("categories", t),
		func(ctx context.Context, _ string) ([]store.Category, error) { return s.Categories(ctx) })
	notices := options[int64, []store.Notice]("notices", t)
	notices.Trace = t.purgesLate(func(i cache.InvalidateInfo) (tags []string) {
		for _, id := range i.Keys {
			tags = append(tags, concertTag+id)
		}
		return tags
	})
	r.notices, errs[2] = newCached(notices, s.Notices)
	r.seats, errs[3] = newCached(options[int64, []int]("seats", t), s.SoldSeats)

	// A session that was closed must be closed everywhere at once, so it has no local copies.
	sessions := options[string, string]("sessions", t)
	sessions.Local, sessions.RemoteOnly = local.Options{}, true
	r.sessions, errs[4] = newCached(sessions, s.Session)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	r.all = append(r.concerts.caches(), r.categories, r.notices, r.seats, r.sessions)
	return r, nil
}

// close closes all caches. Invalidations that could not be delivered go to tier.bury.
func (r *repositories) close() error {
	var errs []error
	for _, c := range r.all {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// redeliver makes the invalidations that an instance could not deliver.
func (r *repositories) redeliver(ctx context.Context, u cache.Undelivered) error {
	for _, c := range r.all {
		if c.name() == u.Cache {
			return c.redeliver(ctx, u)
		}
	}
	return fmt.Errorf("%w: there is no cache %q", queue.ErrHopeless, u.Cache)
}

// concerts reads concerts, whichever version of the service it is.
type concerts interface {
	get(ctx context.Context, id int64) (View, error)
	of(ctx context.Context, category int64) ([]View, error)
	changed(ctx context.Context, id int64) error
	caches() []cacheOf
}

// concertsOf caches concerts in the shape V.
type concertsOf[V any] struct {
	one  *cached[int64, V]
	list *cached[int64, []V] // by category
	view func(V) View
}

func newConcerts[V any](s *store.Store, t tier, schema int, shape func(store.Concert) V, view func(V) View) (*concertsOf[V], error) {
	c := &concertsOf[V]{view: view}
	one := options[int64, V]("concerts", t)
	one.Schema = schema
	one.Tags = func(_ int64, v V) []string { return []string{ConcertTag(view(v).ID)} }
	var err error
	c.one, err = newCached(one, func(ctx context.Context, id int64) (V, error) {
		row, err := s.Concert(ctx, id)
		return shape(row), err
	})
	if err != nil {
		return nil, err
	}
	list := options[int64, []V]("listings", t)
	list.Schema = schema
	list.Trace = t.purgesLate(func(i cache.InvalidateInfo) []string { return i.Tags }) // those of one, too: see changed
	list.Tags = func(category int64, all []V) []string {
		tags := []string{CategoryTag(category)}
		for _, v := range all {
			tags = append(tags, ConcertTag(view(v).ID))
		}
		return tags
	}
	c.list, err = newCached(list, func(ctx context.Context, category int64) ([]V, error) {
		rows, err := s.ConcertsOf(ctx, category)
		all := make([]V, len(rows))
		for i, row := range rows {
			all[i] = shape(row)
		}
		return all, err
	})
	return c, err
}

func (c *concertsOf[V]) get(ctx context.Context, id int64) (View, error) {
	v, err := c.one.get(ctx, id)
	return c.view(v), err
}

func (c *concertsOf[V]) of(ctx context.Context, category int64) ([]View, error) {
	all, err := c.list.get(ctx, category)
	views := make([]View, len(all))
	for i, v := range all {
		views[i] = c.view(v)
	}
	return views, err
}

// changed invalidates a concert wherever it is. It does so by tag and not by key: a key is
// that of one Schema, and a tag is that of all, so the other version of a rolling update is
// reached, too.
func (c *concertsOf[V]) changed(ctx context.Context, id int64) error {
	tag := ConcertTag(id)
	return errors.Join(c.one.invalidateTags(ctx, tag), c.list.invalidateTags(ctx, tag))
}

func (c *concertsOf[V]) caches() []cacheOf { return []cacheOf{c.one, c.list} }

// ConcertTag is the tag of all that depends on a concert, in the caches and at the edge.
func ConcertTag(id int64) string { return concertTag + strconv.FormatInt(id, 10) }

const concertTag = "concert-"

// CategoryTag is the tag of a category's listing.
func CategoryTag(id int64) string { return "category-" + strconv.FormatInt(id, 10) }
