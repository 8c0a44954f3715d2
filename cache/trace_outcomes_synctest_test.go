package cache_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/local"
)

// walker goes from outcome to outcome, on a cache of its own beside another
// instance, and holds the statistics and the trace against what happened.
type walker struct {
	t      *testing.T
	c      *cache.Cache[string, string]
	server *cachetest.Server
	remote *cachetest.Remote
	other  *instance

	mu  sync.Mutex // guards got: a fill goes on beside the call
	got []string
}

const large = "as large as the local tier"

func newWalker(t *testing.T) *walker {
	s, a, other := pair(t)
	w := &walker{t: t, server: s, remote: a.remote, other: other}
	o := options(a.remote)
	o.NotFoundTTL = ttl
	o.Trace = w.trace()
	o.TTLOf = func(_, v string) time.Duration {
		if v == "to be skipped" {
			return 0
		}
		return ttl
	}
	o.Local = local.Options{MaxCost: int64(len(large))}
	o.Cost = func(_, v string) int64 { return int64(len(v)) }
	w.c = a.replace(t, o)
	return w
}

// trace notes what is traced in a few words.
func (w *walker) trace() *cache.Trace {
	note := func(what string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.got = append(w.got, what)
	}
	return &cache.Trace{
		Hit: func(_ ctx, i cache.HitInfo) {
			note("hit " + i.Tier.String() + either(i.NotFound, " not found", ""))
		},
		Miss: func(ctx, cache.MissInfo) { note("miss") },
		Load: func(_ ctx, i cache.LoadInfo) { note(either(i.Err == nil, "load", "load failed")) },
		Fill: func(_ ctx, i cache.FillInfo) {
			note([]string{"filled", "filled locally", "refused", "doomed", "failed", "skipped", "abandoned", "too large"}[i.Outcome])
		},
		Wait:        func(ctx, cache.WaitInfo) { note("wait") },
		RemoteError: func(_ ctx, i cache.RemoteErrorInfo) { note("error of " + i.Op) },
		Corrupt:     func(ctx, cache.CorruptInfo) { note("corrupt") },
		Evict:       func(_ ctx, i cache.EvictInfo) { note("evict " + i.Key) },
	}
}

func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// step wants what act does to be counted and traced so, and nothing else. The order is
// left open: what becomes of a fill is known before or after its caller has the value.
func (w *walker) step(name string, act func(), want cache.Stats, trace ...string) {
	w.t.Helper()
	before := w.c.Stats()
	w.mu.Lock()
	w.got = nil
	w.mu.Unlock()
	act()
	time.Sleep(3 * cachetest.DefaultBudget) // for fills that go on, and leases that are given up
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.got
	slices.Sort(got)
	slices.Sort(trace)
	if d := cmp.Diff(want, minus(w.c.Stats(), before)); d != "" {
		w.t.Errorf("%s: statistics (-want +got):\n%s", name, d)
	}
	if d := cmp.Diff(trace, got); d != "" {
		w.t.Errorf("%s: trace (-want +got):\n%s", name, d)
	}
}

// minus is what was counted between two readings.
func minus(a, b cache.Stats) cache.Stats {
	return cache.Stats{
		LocalHits: a.LocalHits - b.LocalHits, LocalNotFoundHits: a.LocalNotFoundHits - b.LocalNotFoundHits,
		RemoteHits: a.RemoteHits - b.RemoteHits, RemoteNotFoundHits: a.RemoteNotFoundHits - b.RemoteNotFoundHits,
		Misses: a.Misses - b.Misses, Loads: a.Loads - b.Loads, LoadErrors: a.LoadErrors - b.LoadErrors,
		LeaseWaits: a.LeaseWaits - b.LeaseWaits, Fills: a.Fills - b.Fills, RefusedFills: a.RefusedFills - b.RefusedFills,
		DoomedFills: a.DoomedFills - b.DoomedFills, AbandonedFills: a.AbandonedFills - b.AbandonedFills,
		EncodeErrors: a.EncodeErrors - b.EncodeErrors,
		Touches:      a.Touches - b.Touches, CorruptRecords: a.CorruptRecords - b.CorruptRecords,
		RemoteTimeouts: a.RemoteTimeouts - b.RemoteTimeouts, RemoteErrors: a.RemoteErrors - b.RemoteErrors,
		RemoteUnavailable: a.RemoteUnavailable - b.RemoteUnavailable, LocalEvictions: a.LocalEvictions - b.LocalEvictions,
	}
}

// TestOutcomesAreToldApart walks through every outcome.
func TestOutcomesAreToldApart(t *testing.T) {
	for name, walk := range map[string]func(*walker){
		"answers": (*walker).answers, "fills": (*walker).fills, "evictions": (*walker).evictions, "failures": (*walker).failures,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { walk(newWalker(t)) })
		})
	}
}

func (w *walker) answers() {
	t, c := w.t, w.c
	w.step("miss of Get", func() { wantMiss(t, c, "k") }, cache.Stats{Misses: 1}, "miss")
	w.step("load", func() { wantLoad(t, c, "k", constant("v"), "v") },
		cache.Stats{Misses: 1, Loads: 1, Fills: 1}, "load", "filled", "miss")
	w.step("local hit", func() { wantGet(t, c, "k", "v") }, cache.Stats{LocalHits: 1}, "hit local")
	w.step("failed load", func() { _, _ = c.GetOrLoad(t.Context(), "bad", failing(errDown)) },
		cache.Stats{Misses: 1, Loads: 1, LoadErrors: 1}, "load failed", "miss")
	none := func(c getter, key string) { _, _ = c.GetOrLoad(t.Context(), key, failing(cache.ErrNotFound)) }
	w.step("not found", func() { none(c, "none") },
		cache.Stats{Misses: 1, Loads: 1, Fills: 1}, "load failed", "filled", "miss")
	w.step("local not found", func() { none(c, "none") },
		cache.Stats{LocalNotFoundHits: 1}, "hit local not found")

	wantLoad(t, w.other, "remote", constant("v"), "v")
	w.step("remote hit", func() { wantGet(t, c, "remote", "v") }, cache.Stats{RemoteHits: 1}, "hit remote")
	o := options(w.other.remote)
	o.NotFoundTTL = ttl
	none(w.other.replace(t, o), "remote none")
	synctest.Wait() // the fill
	w.step("remote not found", func() { none(c, "remote none") },
		cache.Stats{RemoteNotFoundHits: 1}, "hit remote not found")

	invalidate(t, c, "k")
	synctest.Wait() // a record of somebody who was not told would be loaded once more
	finish := loadLate(t, w.other, &source{})
	w.step("wait", func() {
		time.AfterFunc(time.Second, func() { finish() })
		wantLoad(t, c, "k", loading(t), "v0")
	}, cache.Stats{LeaseWaits: 1, RemoteHits: 1}, "wait", "hit remote")
}

func (w *walker) fills() {
	t, c := w.t, w.c
	during := func(act func()) func() {
		return func() {
			finish := loadLate(t, c, &source{})
			act()
			finish()
		}
	}
	w.step("refused", during(func() { invalidate(t, w.other, "k") }),
		cache.Stats{Misses: 1, Loads: 1, RefusedFills: 1}, "load", "refused", "miss")
	w.step("doomed", during(func() { invalidate(t, c, "k") }),
		cache.Stats{Misses: 1, Loads: 1, DoomedFills: 1}, "load", "doomed", "miss")
	w.step("abandoned", func() {
		load, read, finish := new(source).gated()
		ctx, leave := context.WithCancel(t.Context())
		go func() { _, _ = c.GetOrLoad(ctx, "k", load) }()
		<-read
		leave()
		synctest.Wait()
		close(finish)
	}, cache.Stats{Loads: 1, AbandonedFills: 1}, "load", "abandoned")
	w.step("skipped", func() { wantLoad(t, c, "k", constant("to be skipped"), "to be skipped") },
		cache.Stats{Misses: 1, Loads: 1}, "load", "skipped", "miss")

	w.server.Corrupt(remoteKey("corrupt"))
	w.step("corrupt record", func() { wantLoad(t, c, "corrupt", constant("v"), "v") },
		cache.Stats{Misses: 1, Loads: 1, Fills: 1, CorruptRecords: 1}, "corrupt", "load", "filled", "miss")
}

func (w *walker) evictions() {
	t, c := w.t, w.c
	wantLoad(t, c, "a", constant(large), large)
	w.step("eviction by a load", func() { wantLoad(t, c, "b", constant(large), large) },
		cache.Stats{Misses: 1, Loads: 1, Fills: 1, LocalEvictions: 1}, "load", "evict a", "filled", "miss")
	w.step("eviction by a remote hit", func() { wantGet(t, c, "a", large) },
		cache.Stats{RemoteHits: 1, LocalEvictions: 1}, "evict b", "hit remote")
	w.step("no eviction by an Invalidate", func() { invalidate(t, c, "a") }, cache.Stats{})
}

func (w *walker) failures() {
	t, c := w.t, w.c
	for _, e := range []struct {
		fault cachetest.Fault
		want  cache.Stats
	}{
		{cachetest.Fault{Err: errDown}, cache.Stats{RemoteErrors: 1, Misses: 1}},
		{cachetest.Fault{Delay: time.Hour}, cache.Stats{RemoteTimeouts: 1, Misses: 1}},
		{cachetest.Fault{Err: cache.ErrUnavailable}, cache.Stats{RemoteUnavailable: 1, Misses: 1}},
	} {
		w.remote.Inject(on("get", e.fault))
		w.step("remote error", func() { wantMiss(t, c, "absent") }, e.want, "error of get", "miss")
	}
	w.step("loaded without the remote tier", func() { wantLoad(t, c, "local", constant("v"), "v") },
		cache.Stats{RemoteUnavailable: 1, Misses: 1, Loads: 1, Fills: 1}, "error of get", "load", "filled locally", "miss")
	w.remote.Inject(on("fill", cachetest.Fault{Err: errDown}))
	w.step("fill that failed before the lease was released", func() { wantLoad(t, c, "k", constant("v"), "v") },
		cache.Stats{RemoteErrors: 1, Misses: 1, Loads: 1, Fills: 1}, "load", "error of fill", "filled locally", "miss")
	w.remote.Inject(on("fill", cachetest.Fault{Err: errDown, Applied: true}))
	w.step("fill whose reply was lost", func() { wantLoad(t, c, "l", constant("v"), "v") },
		cache.Stats{RemoteErrors: 1, Misses: 1, Loads: 1}, "load", "error of fill", "failed", "miss")
	var failed atomic.Bool
	w.remote.Inject(func(op string) (f cachetest.Fault) {
		if op == "delete" && !failed.Swap(true) { // it is made again in the background
			f.Err = errDown
		}
		return f
	})
	w.step("failed Invalidate", func() { _ = c.Invalidate(t.Context(), "k") }, cache.Stats{RemoteErrors: 1}, "error of invalidate")
}
