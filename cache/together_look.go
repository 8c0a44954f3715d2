package cache

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache/remote"

	"github.com/nearside-go/nearside/internal/stack"
	"github.com/nearside-go/nearside/loader"
)

// manyKey is the part of one key in a together.
type manyKey[K comparable, V any] struct {
	key  K
	at   int // the place of the key among those of the call
	call loader.Call[K, answer[V]]
	t    *fetch[K, V]       // of the flight, if the call has started it
	r    *replacement[K, V] // of which t is the fetch; nil if the caller waits
	late *lateAnswer[V]     // nil if call has the answer
	outcome[V]

	joined bool // the call has a part in a flight
	over   bool // the flight of t has ended
	missed bool // it has ended without a value, as the look-up of a call that loads

	asked uint64    // the epoch of the invalidations when the look-up began, or its turn in a cache without a local tier
	start time.Time // of the look-up, in a cache without a local tier
}

// outcome is what a caller gets.
type outcome[V any] struct {
	answer answer[V]
	err    error
}

// take notes the outcome of find, and returns its panic.
func (o *outcome[V]) take(find func() (answer[V], error)) (panicked *loader.Panic) {
	o.err = loader.ErrGoexit // if find ends the goroutine
	defer func() {
		if p := recover(); p != nil {
			panicked = loader.NewPanic(p)
		}
	}()
	o.answer, o.err = find()
	return nil
}

// goesOn reports whether the look-up has not answered a key whose flight the call has started.
func (k *manyKey[K, V]) goesOn() bool { return k.t != nil && (!k.over || k.missed) }

// lookUp begins the flights of all keys, reads the remote tier for them, and ends those that it
// answers. Then goOn is called for each key.
func (g *together[K, V]) lookUp(ctx context.Context, begin, goOn func(context.Context, *manyKey[K, V])) {
	lasting := context.WithoutCancel(ctx)
	g.each(func(k *manyKey[K, V]) { begin(ctx, k) })
	g.readAll(lasting)
	g.each(func(k *manyKey[K, V]) { g.judge(lasting, k) })
	members := 0
	for i := range g.keys {
		if g.keys[i].goesOn() {
			members++
		}
	}
	if members > 0 {
		g.haveMembers(lasting, members)
	} else {
		g.over(lasting)
	}
	for i := range g.keys {
		goOn(ctx, &g.keys[i])
	}
}

// keysOfGoroutine is the least number of keys for which a goroutine is worth its start.
const keysOfGoroutine = 16

// each calls do for each key, on as many goroutines as there are processors. If do ends its
// goroutine, another one takes its place.
func (g *together[K, V]) each(do func(*manyKey[K, V])) {
	var workers sync.WaitGroup
	var taken atomic.Int64
	var work func()
	work = func() {
		ended := true
		defer func() {
			if ended {
				workers.Go(work)
			}
		}()
		for i := taken.Add(1); i <= int64(len(g.keys)); i = taken.Add(1) {
			do(&g.keys[i-1])
		}
		ended = false
	}
	for range min(runtime.GOMAXPROCS(0), (len(g.keys)+keysOfGoroutine-1)/keysOfGoroutine) {
		workers.Go(work)
	}
	workers.Wait()
}

// begin gives a key of a call that waits a part in a flight, and prepares the look-up of a flight
// that is new. A key that waits for a fill goes on alone: the others do not wait for it.
func (g *together[K, V]) begin(ctx context.Context, k *manyKey[K, V]) {
	c, group := g.c, &g.c.loads
	var work loader.Work[answer[V]]
	switch {
	case c.opts.RemoteOnly:
		k.asked, k.start = c.nextTurn(), time.Now()
		group, work.Born, work.NotBefore = &c.reads, c.nextTurn(), k.asked
	case g.load == nil:
		k.asked = c.invalidations.Epoch()
		group, work.Born = &c.reads, k.asked
	default:
		if a, ok := c.standby(k.key); ok {
			k.answer = a
			return
		}
		k.asked = c.invalidations.Epoch()
		work = loader.Work[answer[V]]{Born: k.asked, Patience: c.patience(), Interim: c.opts.LoadSoftTimeout > 0}
	}
	if group == &c.reads && c.loads.Settles(k.key) {
		g.later(k, func() (answer[V], error) { return g.findAlone(ctx, k.key) })
		return
	}
	if k.call, k.joined = group.Begin(k.key, work); !k.joined {
		g.later(k, func() (answer[V], error) { return g.findAlone(ctx, k.key) })
		return
	}
	if k.call.Leads() {
		t := &g.fetches[k.at]
		*t = *c.newFetch(k.key, nil, 0)
		if g.load != nil {
			t.load = g.loadOne
		}
		k.prepare(ctx, t)
	}
}

// prepare prepares the look-up of t, for a flight that is new.
func (k *manyKey[K, V]) prepare(ctx context.Context, t *fetch[K, V]) {
	k.t = t
	k.over = true // also if the goroutine ends
	k.over = k.call.Try(ctx, func(_ context.Context, f *loader.Flight[answer[V]]) (answer[V], error, bool) {
		a, ok := t.prepare(f)
		return a, nil, ok
	})
}

// judge ends the flight of a key that the look-up has answered. If the answer takes more of the
// remote tier, judge leaves it to a goroutine.
func (g *together[K, V]) judge(ctx context.Context, k *manyKey[K, V]) {
	if k.t == nil || k.over {
		return
	}
	k.t.looked = true
	if k.t.asksMore() {
		return
	}
	k.t.gathers = true
	k.over = true
	k.over = k.call.Try(ctx, func(ctx context.Context, f *loader.Flight[answer[V]]) (a answer[V], err error, ok bool) {
		if k.t.asks && g.readFailed != nil {
			g.readFailed()
		}
		if g.onlyReads(k) {
			a = k.t.readOnly(ctx, f)
			k.missed = a.entry == nil && g.load != nil
			return a, nil, true
		}
		return k.t.lookup(ctx, f)
	})
	k.t.gathers = false
	if k.over && !k.missed {
		k.t.seen.rec = remote.Record{} // g.fetches keep it while any flight of the call goes on
	}
	if k.t.touches {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.touches = append(g.touches, k.key)
	}
}

// onlyReads reports whether the flight of k is one of Get, which does not load.
func (g *together[K, V]) onlyReads(k *manyKey[K, V]) bool {
	return g.load == nil || g.c.opts.RemoteOnly && k.r == nil
}

// goOn lets a key of a call that waits go on, if the look-up has not answered it.
func (g *together[K, V]) goOn(ctx context.Context, k *manyKey[K, V]) {
	if !k.joined || k.late != nil || k.t != nil && !k.goesOn() {
		return
	}
	loadsAfter := g.c.opts.RemoteOnly && g.load != nil
	if k.t != nil {
		k.t.member = g.newMember(k.at)
		if !k.over {
			load := k.t.run
			if g.onlyReads(k) {
				load = func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
					return k.t.readOnly(ctx, f), nil
				}
			}
			if !loadsAfter {
				load = k.t.member.ofFlight(load)
			}
			k.call.Go(ctx, load)
		}
	}
	if loadsAfter {
		g.later(k, func() (answer[V], error) { return g.loadMissed(ctx, k) })
	}
}

// loadMissed loads a key that the look-up of a cache without a local tier has missed.
func (g *together[K, V]) loadMissed(ctx context.Context, k *manyKey[K, V]) (answer[V], error) {
	t := k.t
	if t == nil {
		t = g.c.newFetch(k.key, g.loadOne, 0)
	} else {
		defer func() {
			if !t.member.handed.Load() {
				t.member.leave()
			}
		}()
	}
	a, err := k.call.Wait(ctx)
	if err != nil || a.entry != nil {
		return a, err
	}
	return g.c.loadMissed(ctx, t, a.complete, k.asked, k.start)
}

// findAlone is a call for one of the keys.
func (g *together[K, V]) findAlone(ctx context.Context, key K) (answer[V], error) {
	if g.load == nil {
		return g.c.read(ctx, key)
	}
	return g.c.findOrLoad(ctx, key, g.loadOne)
}

// lateAnswer is an answer that a goroutine finds.
type lateAnswer[V any] struct {
	outcome[V]
	panicked *loader.Panic
	done     chan struct{}
}

// later lets a goroutine find the answer of k.
func (g *together[K, V]) later(k *manyKey[K, V], find func() (answer[V], error)) {
	l := &lateAnswer[V]{done: make(chan struct{})}
	k.late = l
	g.c.gate.again()
	go func() {
		defer g.c.gate.leave()
		defer close(l.done)
		stack.Grow()
		l.panicked = l.take(find)
	}()
}

func (l *lateAnswer[V]) wait(ctx context.Context) (answer[V], error) {
	select {
	case <-l.done:
	case <-ctx.Done():
		return answer[V]{}, ctx.Err()
	}
	if l.panicked != nil {
		panic(l.panicked)
	}
	return l.answer, l.err
}

// replace loads the keys of dues in the background.
func (g *together[K, V]) replace(ctx context.Context, dues []due[K, V]) {
	var claimed []*replacement[K, V]
	for _, d := range dues {
		if r, ok := g.c.claim(d.key, g.loadOne, d.entry, d.draw); ok {
			claimed = append(claimed, r)
		}
	}
	g.ofKeys(len(claimed))
	for i, r := range claimed {
		g.keys[i].key, g.keys[i].r = r.t.key, r
	}
	go func() {
		g.lookUp(ctx, g.beginToReplace, g.goOnToReplace)
		for i := range g.keys {
			g.awaitReplacement(ctx, &g.keys[i])
		}
	}()
}

func (g *together[K, V]) beginToReplace(ctx context.Context, k *manyKey[K, V]) {
	if k.call, k.joined = g.c.loads.Begin(k.key, k.r.work()); k.joined && k.call.Leads() {
		k.prepare(ctx, k.r.t)
	}
}

func (g *together[K, V]) goOnToReplace(ctx context.Context, k *manyKey[K, V]) {
	switch {
	case k.goesOn():
		k.t.member = g.newMember(k.at)
		k.call.Go(ctx, k.t.member.ofFlight(k.r.load))
	case k.t != nil || !k.joined: // otherwise another caller's load is under way
		k.r.end()
	}
}

func (g *together[K, V]) awaitReplacement(ctx context.Context, k *manyKey[K, V]) {
	defer g.c.logPanic(ctx)
	defer k.r.endUnlessBegun()
	if k.joined {
		_, _ = k.call.Wait(ctx)
	}
}
