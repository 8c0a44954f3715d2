package cache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache/internal/batch"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/stack"
	"github.com/nearside-go/nearside/loader"
)

// together lets the fetches of one call with many keys share round trips, and one load. Each
// key has a flight of its own, as in a call with one key: so flights, windows, fences and
// invalidations are the same for both. What a fetch asks of the remote tier and of the loader
// waits until every other fetch of the call asks, too, or needs nothing more of the call. Then
// it is asked for all of them at once.
type together[K comparable, V any] struct {
	c    *Cache[K, V]
	load func(context.Context, []K) (map[K]V, error) // nil for GetMany

	whole   time.Duration // the budget of the call: it grows with the number of keys
	members *batch.Batch
	reads   *batch.Step[readAsk, remote.Reply]
	tags    *batch.Step[[]string, tagReply]
	places  *batch.Step[struct{}, error]
	leases  *batch.Step[remote.LeaseAsk, remote.Reply]
	loads   *batch.Step[loadAsk[K], loadReply[V]]
	ends    *batch.Step[remote.LeaseEnd, remote.Ended]

	spent atomic.Int64 // nanoseconds in the remote tier
	atEnd func()       // is called when no fetch needs the call any more; nil for nothing

	mu      sync.Mutex // guards all below
	place   *loader.Place
	touches []K // keys whose TTLs are to be renewed
	dues    []due[K, V]
	results []result[V]
}

type (
	readAsk struct {
		key     string
		confirm bool
	}
	tagReply struct {
		positions []*remote.Position
		err       error
	}
	loadAsk[K comparable] struct {
		key K
		at  int // the place of the key among those of the call

		early bool // the value has not ended: see EarlyRevalidation
	}
	loadReply[V any] struct {
		value V
		err   error
		took  time.Duration
	}
	result[V any] struct {
		value V
		err   error
		known bool
	}
)

// newTogether returns the together of a call with so many keys.
func newTogether[K comparable, V any](ctx context.Context, c *Cache[K, V], load func(context.Context, []K) (map[K]V, error), keys int) *together[K, V] {
	g := &together[K, V]{c: c, load: load, results: make([]result[V], keys)}
	g.whole = times(c.patience(), int64(keys+keysOfBudget-1)/keysOfBudget)
	g.members = batch.New(ctx, keys, func() { g.over(ctx) })
	g.reads = batch.NewStep(g.members, g.readAll)
	g.tags = batch.NewStep(g.members, g.tagsOfAll)
	g.places = batch.NewStep(g.members, g.placeForAll)
	g.leases = batch.NewStep(g.members, g.leaseAll)
	g.loads = batch.NewStep(g.members, g.loadAll)
	g.ends = batch.NewStep(g.members, g.endAll)
	return g
}

// over ends what the call has left, when no fetch needs the call any more.
func (g *together[K, V]) over(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leavePlaceLocked()
	g.c.touchLater(ctx, g.touches...)
	if g.atEnd != nil {
		g.atEnd()
	}
}

// find finds the values of keys, each on a goroutine of its own, and adds them to found. It
// returns the values that a load in the background is to replace, and the error of the call. If
// ctx ends, find returns at once.
func (g *together[K, V]) find(ctx context.Context, keys []K, found map[K]V) ([]due[K, V], error) {
	var calls sync.WaitGroup
	var panicked atomic.Pointer[loader.Panic]
	for i, key := range keys {
		m := g.newMember(i)
		g.c.gate.again()
		calls.Go(func() {
			defer g.c.gate.leave()
			stack.Grow()
			r := result[V]{err: loader.ErrGoexit, known: true} // if the goroutine ends
			defer func() {
				if p := recover(); p != nil {
					panicked.Store(loader.NewPanic(p))
				}
				g.mu.Lock()
				g.results[m.at] = r
				g.mu.Unlock()
				if !m.handed.Load() {
					m.leave()
				}
			}()
			r.value, r.err = g.findOne(ctx, key, m)
		})
	}
	done := make(chan struct{})
	go func() {
		calls.Wait()
		close(done)
	}()
	var first error
	select {
	case <-done:
	case <-ctx.Done():
		first = ctx.Err()
	}
	if p := panicked.Load(); p != nil {
		panic(p)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.SortFunc(g.dues, func(a, b due[K, V]) int { return a.at - b.at })
	for i, r := range g.results {
		switch {
		case !r.known || errors.Is(r.err, ErrNotFound), g.load == nil && r.err == ErrMiss:
		case r.err == nil:
			found[keys[i]] = r.value
		case first == nil:
			first = r.err
		}
	}
	return slices.Clone(g.dues), first // goroutines that go on may add others
}

// findOne is a call for one of the keys.
func (g *together[K, V]) findOne(ctx context.Context, key K, m *member[K, V]) (V, error) {
	if g.load == nil {
		return g.c.call(ctx, key, func() (answer[V], error) { return g.c.read(ctx, key, m) })
	}
	return g.c.call(ctx, key, func() (answer[V], error) {
		a, err := g.c.findOrLoad(ctx, key, g.loadOne, m)
		if err == nil && a.due {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.dues = append(g.dues, due[K, V]{m.at, key, a.entry, a.draw})
		}
		return a, err
	})
}
