package cache

import (
	"cmp"
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

// member is the part of one fetch in a together. A nil member is in none.
type member[K comparable, V any] struct {
	*batch.Member
	g      *together[K, V]
	at     int         // the place of the key among those of the call
	handed atomic.Bool // the fetch runs on a goroutine of its own, and leaves at its end
}

func (g *together[K, V]) newMember(at int) *member[K, V] {
	return &member[K, V]{Member: g.members.NewMember(), g: g, at: at}
}

// in reports whether m is still in its together.
func (m *member[K, V]) in() bool { return m != nil && m.In() }

// leave takes m out of its together.
func (m *member[K, V]) leave() {
	if m != nil {
		m.Leave()
	}
}

// work returns w as the work of a flight that m leaves the together with: at the end of the
// flight, or as soon as the flight turns out to be another caller's.
func (m *member[K, V]) work(w loader.Work[answer[V]]) loader.Work[answer[V]] {
	if m == nil {
		return w
	}
	quick, load := w.Quick, w.Load
	w.Joined = m.leave
	if quick != nil {
		w.Quick = func(ctx context.Context, f *loader.Flight[answer[V]]) (a answer[V], err error, found bool) {
			goesOn := false
			defer func() {
				if !goesOn {
					m.leave()
				}
			}()
			a, err, found = quick(ctx, f)
			goesOn = !found
			return a, err, found
		}
	}
	w.Load = func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
		m.handed.Store(true)
		defer m.leave()
		return load(ctx, f)
	}
	return w
}

// find finds the values of keys, of which each has a goroutine, and adds them to found. If ctx
// ends, find returns at once.
// It also returns the values that a load in the background is to replace.
func (g *together[K, V]) find(ctx context.Context, keys []K, found map[K]V) ([]due[K, V], error) {
	var calls sync.WaitGroup
	var panicked atomic.Pointer[loader.Panic]
	for i, key := range keys {
		m := g.newMember(i)
		calls.Go(func() {
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
	g.c.gate.again()
	defer g.c.gate.leave()
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

// loadOne is the loader of a fetch that is in no together any more.
func (g *together[K, V]) loadOne(ctx context.Context, key K) (V, error) {
	values, err := g.load(withoutPrevious(ctx), []K{key})
	return valueOf(values, key, err)
}

func valueOf[K comparable, V any](values map[K]V, key K, err error) (V, error) {
	v, ok := values[key]
	switch {
	case err != nil:
		var zero V
		return zero, err
	case !ok:
		return v, ErrNotFound
	}
	return v, nil
}

// The steps. Each is made for all members that wait for it. The reads, the look-ups of tags and
// the leases of a call share one budget.

const keysOfBudget = 500

// spend calls command, unless the call has spent its budget in the remote tier. It returns an
// error then, and otherwise that of command, which is traced once for all members.
func (g *together[K, V]) spend(ctx context.Context, op string, command func(context.Context) error) error {
	left := remainder(g.whole, time.Duration(g.spent.Load()))
	err := context.DeadlineExceeded
	if left > 0 {
		bounded, cancel := context.WithTimeoutCause(ctx, left, remote.ErrBudget)
		defer cancel()
		start := time.Now()
		err = command(bounded)
		g.spent.Add(int64(time.Since(start)))
	}
	if err != nil {
		g.c.remoteFailed(ctx, op, err)
	}
	return err
}

// traced is an error of a step, which is traced already.
type traced struct{ error }

func (t traced) Unwrap() error { return t.error }

func (g *together[K, V]) readAll(ctx context.Context, asks []readAsk) []remote.Reply {
	keys, confirm := make([]string, len(asks)), false
	for i, ask := range asks {
		keys[i] = ask.key
		confirm = confirm || ask.confirm
	}
	return g.ask(ctx, "get", len(keys), func(ctx context.Context) []remote.Reply {
		return g.c.opts.Remote.GetMany(ctx, keys, confirm)
	})
}

func (g *together[K, V]) leaseAll(ctx context.Context, asks []remote.LeaseAsk) []remote.Reply {
	return g.ask(ctx, "lease", len(asks), func(ctx context.Context) []remote.Reply {
		return g.c.opts.Remote.LeaseMany(ctx, asks, g.c.opts.LoadTimeout)
	})
}

// ask asks the remote tier about so many keys.
func (g *together[K, V]) ask(ctx context.Context, op string, keys int, command func(context.Context) []remote.Reply) []remote.Reply {
	got, asked := make([]remote.Reply, keys), false
	err := g.spend(ctx, op, func(ctx context.Context) error {
		got, asked = command(ctx), true
		for _, reply := range got {
			if reply.Err != nil {
				return reply.Err
			}
		}
		return nil
	})
	for i := range got {
		if !asked {
			got[i].Err = err
		}
		if got[i].Err != nil {
			got[i].Err = traced{got[i].Err}
		}
	}
	return got
}

// tagsOfAll asks for the positions of all tags, each once.
func (g *together[K, V]) tagsOfAll(ctx context.Context, asks [][]string) []tagReply {
	var names []string
	at := make(map[string]*remote.Position)
	for _, ask := range asks {
		for _, name := range ask {
			if _, again := at[name]; !again {
				at[name] = nil
				names = append(names, name)
			}
		}
	}
	unknown := make(map[string]error)
	err := g.spend(ctx, "tags", func(ctx context.Context) (first error) {
		for part := range slices.Chunk(names, keysOfBudget) {
			positions, err := g.c.opts.Remote.TagPositions(ctx, part...)
			first = cmp.Or(first, err)
			for i, name := range part {
				if err != nil {
					unknown[name] = err
				} else {
					at[name] = positions[i]
				}
			}
		}
		return first
	})
	got := make([]tagReply, len(asks))
	for i, ask := range asks {
		for _, name := range ask {
			if _, is := unknown[name]; is || err != nil && len(unknown) == 0 {
				got[i].err = traced{err}
			}
			got[i].positions = append(got[i].positions, at[name])
		}
	}
	return got
}

// placeForAll waits for one place for the load of all keys, unless the call has one.
func (g *together[K, V]) placeForAll(ctx context.Context, asks []struct{}) []error {
	g.mu.Lock()
	has := g.place != nil
	g.mu.Unlock()
	var err error
	if !has {
		var place *loader.Place
		place, err = g.c.limit.Wait(ctx)
		g.mu.Lock()
		g.place = place
		g.mu.Unlock()
	}
	return slices.Repeat([]error{err}, len(asks))
}

func (g *together[K, V]) leavePlaceLocked() {
	if g.place != nil {
		g.place.Leave()
		g.place = nil
	}
}

// loadAll calls the loader once, with the keys in the order of the call.
func (g *together[K, V]) loadAll(ctx context.Context, asks []loadAsk[K]) []loadReply[V] {
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.leavePlaceLocked()
	}()
	g.mu.Lock()
	if g.place != nil {
		ctx = g.place.Within(ctx)
	}
	g.mu.Unlock()
	g.c.gate.again() // a loader that ignores its context may outlast its callers
	defer g.c.gate.leave()
	ctx, cancel := context.WithTimeout(ctx, g.c.opts.LoadTimeout)
	defer cancel()
	ordered := slices.Clone(asks)
	slices.SortFunc(ordered, func(a, b loadAsk[K]) int { return a.at - b.at })
	keys := make([]K, len(asks))
	for i, ask := range ordered {
		keys[i] = ask.key
	}
	if slices.ContainsFunc(asks, func(ask loadAsk[K]) bool { return ask.early }) {
		g.c.counters.earlyLoads.Add(1)
	}
	var values map[K]V
	took, err := g.c.observeLoad(ctx, keys[0], len(keys), func() (failed bool, err error) {
		values, err = g.load(withoutPrevious(ctx), keys)
		return loadFailed(err), err
	})
	got := make([]loadReply[V], len(asks))
	for i, ask := range asks {
		got[i].took = took
		got[i].value, got[i].err = valueOf(values, ask.key, err)
	}
	return got
}

// endAll ends leases. Nobody waits for it.
func (g *together[K, V]) endAll(ctx context.Context, ends []remote.LeaseEnd) []remote.Ended {
	return g.c.opts.Remote.EndMany(context.WithoutCancel(ctx), ends)
}

// What a fetch asks, alone or together with others.

// spend runs a command of the remote tier within the fetch's budget. In a together the steps
// have one budget for all.
func (t *fetch[K, V]) spend(ctx context.Context, command func(context.Context) error) error {
	if t.member.in() {
		return command(context.WithoutCancel(ctx))
	}
	return t.budget.spend(ctx, command)
}

// leaveOthers makes t go on alone, with what is left of its budget, so that the others of its call
// do not wait for it.
func (t *fetch[K, V]) leaveOthers() {
	if t.member.in() {
		t.budget.left -= time.Duration(t.member.g.spent.Load())
		t.member.leave()
	}
}

// limited calls load in a place of MaxLoads.
func (t *fetch[K, V]) limited(ctx context.Context, load func(context.Context)) error {
	if m := t.member; m.in() {
		if failed, in, err := m.g.places.Do(ctx, m.Member, struct{}{}); in {
			if err = cmp.Or(err, failed); err != nil {
				return err
			}
			if m.in() { // otherwise the place may be gone with the others
				load(ctx)
				return nil
			}
		}
	}
	return t.c.limit.Run(ctx, load)
}

func (t *fetch[K, V]) fillLease(ctx context.Context, l remote.Lease, fill remote.Fill) (held bool, err error) {
	if t.member.in() {
		if e, in := t.member.end(ctx, l, &fill); in {
			return e.Held, e.Err
		}
	}
	return l.Fill(ctx, fill)
}

func (t *fetch[K, V]) releaseLease(ctx context.Context, l remote.Lease) (held bool, err error) {
	if t.member.in() {
		if e, in := t.member.end(ctx, l, nil); in {
			return e.Held, e.Err
		}
	}
	return l.Release(ctx)
}

func (m *member[K, V]) end(ctx context.Context, l remote.Lease, fill *remote.Fill) (remote.Ended, bool) {
	e, in, err := m.g.ends.Do(ctx, m.Member, remote.LeaseEnd{Lease: l, Fill: fill})
	return e, in && err == nil // after an error the lease is ended alone
}

// touchLater renews the TTL of t.key in the remote tier, in the background.
func (t *fetch[K, V]) touchLater(ctx context.Context) {
	if m := t.member; m.in() {
		m.g.mu.Lock()
		defer m.g.mu.Unlock()
		m.g.touches = append(m.g.touches, t.key)
		return
	}
	t.c.touchLater(ctx, t.key)
}
