package redis_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
)

// noticedWithin is within which a lost invalidation is made again.
const noticedWithin = 3 * time.Second

// lasting are the options of caches whose values do not end in the time of a test.
var lasting = cache.Options[string, string]{TTL: time.Hour, Tags: tagsOf}

// lastingPair returns two instances on a primary with a replica. The positions of the tag t
// and of the cache are recorded.
func lastingPair(t *testing.T) (p *pair, a, b *instance) {
	t.Helper()
	p = newPair(t)
	a, b = p.enterWith(t, false, lasting), p.enterWith(t, false, lasting)
	recordsInTheEnd(t, p.primary, a, "t")
	p.replicated(t, a)
	return p, a, b
}

// reverted is a fleet whose server is about to lose what it has acknowledged: keys have old
// values there, and a has invalidated all of them. lose makes the server lose that.
type reverted struct {
	a, b   *instance
	server *redistest.Server // the one that has lost it
	join   func() *instance  // adds an instance that remembers nothing
}

const lostKeys = 20

func lostKey(i int) string { return fmt.Sprint("lost-", i) }

// invalidated are the ways in which the old values of all keys are declared invalid.
var invalidated = map[string]func(context.Context, *instance) error{
	"Invalidate": func(ctx context.Context, i *instance) (err error) {
		for k := range lostKeys {
			err = errors.Join(err, i.Invalidate(ctx, lostKey(k)))
		}
		return err
	},
	"InvalidateTags": func(ctx context.Context, i *instance) error { return i.InvalidateTags(ctx, "t") },
	"InvalidateAll":  func(ctx context.Context, i *instance) error { return i.InvalidateAll(ctx) },
	"Mutate": func(ctx context.Context, i *instance) error {
		var keys []string
		for k := range lostKeys {
			keys = append(keys, lostKey(k))
		}
		return i.Mutate(ctx, keys, func(context.Context) error { return nil })
	},
}

// wantInvalid wants that no instance that was there reads an old value ever again, and that
// one which knows nothing reads none after the time to notice.
func (r *reverted) wantInvalid(t *testing.T, since time.Time) {
	t.Helper()
	late := r.join()
	old := func(i *instance) (keys int) {
		for k := range lostKeys {
			v, err := i.Get(t.Context(), lostKey(k))
			if err == nil && v == "old|t" {
				keys++
			} else if !errors.Is(err, cache.ErrMiss) {
				t.Errorf("Get: %q, %v", v, err)
			}
		}
		return keys
	}
	for n := 1; n > 0; {
		if n := old(r.a) + old(r.b); n > 0 {
			t.Fatalf("%d old values are served to instances that knew that they are invalid", n)
		}
		asked := time.Now()
		n = old(late)
		if took := ran(since, asked); n > 0 && took > noticedWithin {
			t.Fatalf("%d old values are served %v after the server has lost their invalidation", n, took)
		}
		<-time.After(5 * time.Millisecond)
	}
	redistest.Eventually(t, soon, "nothing is unconfirmed", func() bool {
		return r.a.Stats().Unconfirmed+r.b.Stats().Unconfirmed == 0
	})
	if old(late)+old(r.a)+old(r.b) > 0 {
		t.Error("old values are served in the end")
	}
	if r.a.Stats().Reverts+r.b.Stats().Reverts == 0 {
		t.Error("the loss was not counted")
	}
	redistest.Eventually(t, soon, "a line reports the loss", func() bool {
		const own, last = "redis has lost log entries", "entries_lost=true"
		return r.a.seen.lines(own)+r.a.seen.lines(last)+r.b.seen.lines(own)+r.b.seen.lines(last) > 0
	})
}

func TestAFailoverThatLosesWritesLosesNoInvalidation(t *testing.T) {
	t.Parallel()
	for name, invalidate := range invalidated {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, a, b := lastingPair(t)
			for k := range lostKeys {
				hold(t, lostKey(k), "old|t", a, b)
			}
			redistest.Eventually(t, soon, "the replica has the values", func() bool {
				return p.replica.Client().Exists(t.Context(), a.prefix+":c:0:"+lostKey(lostKeys-1), a.tagKey("")).Val() == 2
			})
			p.replicated(t, a)
			p.detach(t)
			if err := invalidate(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			upToDate(t, p.primary, a, b)
			start := time.Now()
			p.promote()
			r := reverted{a, b, p.replica, func() *instance { return p.enterWith(t, false, lasting) }}
			r.wantInvalid(t, start)
		})
	}
}

func TestARestartFromAnOldDumpLosesNoInvalidation(t *testing.T) {
	t.Parallel()
	for name, invalidate := range invalidated {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			a, b := enter(t, server.Addr(), quick, lasting), enter(t, server.Addr(), quick, lasting)
			for k := range lostKeys {
				hold(t, lostKey(k), "old|t", a, b)
			}
			dump := server.Save()
			if err := invalidate(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			upToDate(t, server, a, b)
			server.Kill()
			start := time.Now()
			server.RestartFrom(dump)
			r := reverted{a, b, server, func() *instance { return enter(t, server.Addr(), quick, lasting) }}
			r.wantInvalid(t, start)
		})
	}
}

// An instance that does not remember as far back as the dump invalidates the whole cache.
func TestADumpThatIsOlderThanTheMemoryInvalidatesAll(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	first := enter(t, server.Addr(), quick, lasting)
	for k := range lostKeys {
		wantLoad(t, first.Cache, lostKey(k), "old|t")
	}
	idle(t, first)
	dump := server.Save()
	if err := first.InvalidateTags(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	a, b := enter(t, server.Addr(), quick, lasting), enter(t, server.Addr(), quick, lasting)
	server.Kill()
	start := time.Now()
	server.RestartFrom(dump)
	late := enter(t, server.Addr(), quick, lasting)
	for {
		asked := time.Now()
		v, err := late.Get(t.Context(), lostKey(0))
		if errors.Is(err, cache.ErrMiss) {
			break
		}
		if took := ran(start, asked); took > noticedWithin {
			t.Fatalf("Get = %q, %v, %v after the restart", v, err, took)
		}
		<-time.After(5 * time.Millisecond)
	}
	redistest.Eventually(t, soon, "nothing is unconfirmed", func() bool { return a.Stats().Unconfirmed+b.Stats().Unconfirmed == 0 })
	for _, i := range []*instance{late, a, b} {
		misses(t, i, lostKey(0), lostKey(1))
	}
}

// An entry that was lost before anybody had read it is made again by the Store that has
// appended it.
func TestAnEntryThatNobodyHasReadIsMadeAgain(t *testing.T) {
	t.Parallel()
	p, a, b := lastingPair(t)
	for k := range lostKeys {
		hold(t, lostKey(k), "old|t", a, b)
	}
	// The readers of a and b stand still at an entry that the replica has, too.
	var stopped []*stuck
	for _, i := range []*instance{a, b} {
		s := &stuck{began: make(chan struct{}), end: make(chan struct{})}
		followIn(t, i.store, "other", s)
		stopped = append(stopped, s)
	}
	a.add(t, p.primary, "*", "e", logEntry("other:0:k"))
	for _, s := range stopped {
		<-s.began
	}
	redistest.Eventually(t, soon, "the replica has what the primary has", func() bool {
		return p.replica.Client().XLen(t.Context(), a.logKey()).Val() == p.primary.Client().XLen(t.Context(), a.logKey()).Val()
	})
	p.detach(t)
	if err := invalidated["Invalidate"](t.Context(), a); err != nil {
		t.Fatal(err)
	}
	p.promote()
	for _, s := range stopped {
		close(s.end)
	}
	followed(t, a.Cache, b.Cache)
	late := p.enterWith(t, false, lasting)
	for k := range lostKeys {
		missesSoon(t, late, lostKey(k))
		missesSoon(t, b, lostKey(k))
		misses(t, a, lostKey(k))
	}
}

// A log that was only trimmed has lost nothing.
func TestATrimmedLogIsNotTakenForALostOne(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	s := quick
	s.LogLength = 10
	a := enter(t, server.Addr(), s, lasting)
	b := enter(t, link.Addr(), s, lasting)
	hold(t, "kept", "v", a, b)
	link.Cut()
	redistest.Eventually(t, soon, "the log is cut off", func() bool { return !b.Stats().LogFollowed })
	for i := range 500 {
		invalidate(t, a, fmt.Sprint(i))
	}
	link.Restore()
	followed(t, b.Cache)
	b.wantLogGaps(t, "b", 1)
	for _, i := range []*instance{a, b} {
		if n := i.store.Stats().LogReverts; n != 0 {
			t.Errorf("%d losses are counted", n)
		}
	}
}
