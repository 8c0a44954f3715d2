package cache

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nearside-go/nearside/cache/internal/batch"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/loader"
)

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

// readAll reads the records of all keys that are to be asked for, while no fetch goes on.
func (g *together[K, V]) readAll(ctx context.Context) {
	var asking []*fetch[K, V]
	var keys []string
	confirm := false
	for i := range g.keys {
		if k := &g.keys[i]; k.t != nil && !k.over && k.t.asks {
			asking, keys = append(asking, k.t), append(keys, k.t.remoteKey)
			confirm = confirm || !k.t.snap.live
		}
	}
	if len(keys) == 0 {
		return
	}
	g.readFailed = batch.Guard(func() {
		replies := g.ask(ctx, "get", len(keys), func(ctx context.Context) []remote.Reply {
			return g.c.opts.Remote.GetMany(ctx, keys, confirm)
		})
		for i, t := range asking {
			t.seen.rec, t.seen.err = t.read(ctx, replies[i].Record, replies[i].Err)
		}
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
	got := make([]loadReply[V], len(asks))
	if err := ctx.Err(); err != nil { // all callers have left
		for i := range got {
			got[i].err = err
		}
		return got
	}
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
