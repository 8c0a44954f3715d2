package cache

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache/internal/batch"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/loader"
)

// together lets the fetches of one call with many keys share round trips, and one load. Each
// key has a flight of its own, as in a call with one key: so flights, windows, fences and
// invalidations are the same for both.
//
// First the flights begin, the remote tier is read for all of them, and those that it answers
// end (together_look.go). Each of the others goes on with a goroutine. What it asks of the remote
// tier and of the loader waits until every other fetch of the call asks, too, or needs nothing
// more of the call. Then it is asked for all of them at once (together_steps.go).
type together[K comparable, V any] struct {
	c    *Cache[K, V]
	load func(context.Context, []K) (map[K]V, error) // nil for GetMany
	keys []manyKey[K, V]

	fetches    []fetch[K, V] // of the flights that a call starts which waits
	whole      time.Duration // the budget of the call: it grows with the number of keys
	readFailed func()        // panics, or ends the goroutine, as the read did; nil if it returned

	// Of the fetches that the read does not answer.
	members *batch.Batch
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
}

type (
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
)

func newTogether[K comparable, V any](c *Cache[K, V], load func(context.Context, []K) (map[K]V, error)) *together[K, V] {
	return &together[K, V]{c: c, load: load}
}

// ofKeys makes g the together of so many keys.
func (g *together[K, V]) ofKeys(n int) {
	g.keys = make([]manyKey[K, V], n)
	for i := range g.keys {
		g.keys[i].at = i
	}
	g.whole = times(g.c.patience(), int64(n+keysOfBudget-1)/keysOfBudget)
}

// haveMembers lets so many fetches make the steps together.
func (g *together[K, V]) haveMembers(ctx context.Context, n int) {
	g.members = batch.New(ctx, n, func() { g.over(ctx) })
	g.tags = batch.NewStep(g.members, g.tagsOfAll)
	g.places = batch.NewStep(g.members, g.placeForAll)
	g.leases = batch.NewStep(g.members, g.leaseAll)
	g.loads = batch.NewStep(g.members, g.loadAll)
	g.ends = batch.NewStep(g.members, g.endAll)
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

// find finds the values of keys, and adds them to found. It returns the values that a load in
// the background is to replace, and the error of the call. If ctx ends, find returns at once.
func (g *together[K, V]) find(ctx context.Context, keys []K, found map[K]V) ([]due[K, V], error) {
	need := time.Duration(0)
	if g.load != nil {
		need = g.c.loadNeeds(ctx)
	}
	g.ofKeys(len(keys))
	g.fetches = make([]fetch[K, V], len(keys))
	for i, key := range keys {
		g.keys[i].key = key
	}
	looked := make(chan struct{})
	g.c.gate.again()
	go func() {
		defer g.c.gate.leave()
		g.lookUp(ctx, g.begin, g.goOn)
		close(looked)
	}()
	select {
	case <-looked:
	case <-ctx.Done():
		select {
		case <-looked: // there may be values to return
		default:
			g.c.gate.again()
			go func() {
				defer g.c.gate.leave()
				<-looked
				g.collect(ctx, 0) // takes the caller off the flights
			}()
			return nil, ctx.Err()
		}
	}
	if p := cmp.Or(g.collect(ctx, need), g.count(ctx)); p != nil {
		panic(p)
	}
	var dues []due[K, V]
	var first error
	for i := range g.keys {
		k := &g.keys[i]
		v, err := k.answer.value()
		if err == nil {
			err = k.err
		}
		switch {
		case errors.Is(err, ErrNotFound), g.load == nil && err == ErrMiss:
		case err == nil:
			found[k.key] = v
		case first == nil:
			first = err
		}
		if g.load != nil && k.err == nil && k.answer.due {
			dues = append(dues, due[K, V]{k.key, k.answer.entry, k.answer.draw})
		}
	}
	return dues, first
}

// collect waits for the answers of all keys, and returns the panic of a key that has one. When
// the caller's time is down to need, it urges all flights; 0 is never.
func (g *together[K, V]) collect(ctx context.Context, need time.Duration) *loader.Panic {
	if need > 0 {
		deadline, _ := ctx.Deadline()
		urge := time.AfterFunc(time.Until(deadline)-need, g.urge)
		defer urge.Stop()
	}
	var panicked *loader.Panic
	for i := range g.keys {
		k := &g.keys[i]
		if k.joined && k.late == nil {
			panicked = cmp.Or(panicked, k.take(func() (answer[V], error) { return g.wait(ctx, k) }))
			if k.err == nil && !g.c.opts.RemoteOnly && !g.c.isCurrent(k.answer, k.asked) {
				g.later(k, func() (answer[V], error) { return g.findAlone(ctx, k.key) })
			}
		}
	}
	for i := range g.keys {
		if k := &g.keys[i]; k.late != nil {
			panicked = cmp.Or(panicked, k.take(func() (answer[V], error) { return k.late.wait(ctx) }))
		}
	}
	return panicked
}

// count counts the outcomes of all keys, and returns the panic of an Options.Key.
func (g *together[K, V]) count(ctx context.Context) (panicked *loader.Panic) {
	for i := range g.keys {
		if k := &g.keys[i]; k.err == nil {
			panicked = cmp.Or(panicked, k.take(func() (answer[V], error) {
				g.c.count(ctx, k.key, k.answer)
				return k.answer, nil
			}))
		}
	}
	return panicked
}

// wait waits for the flight of k.
func (g *together[K, V]) wait(ctx context.Context, k *manyKey[K, V]) (answer[V], error) {
	a, err := k.call.Wait(ctx)
	if g.load == nil {
		a = a.unlessStale()
	}
	return a, err
}

// urge tells all flights that the caller has little time left.
func (g *together[K, V]) urge() {
	for i := range g.keys {
		if k := &g.keys[i]; k.joined {
			k.call.Urge()
		}
	}
}
