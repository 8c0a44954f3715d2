package redis_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

const (
	replicaLag = 600 * time.Millisecond
	holdOff    = 1750 * time.Millisecond
)

// lagging is a source of which a replica is read, that shows a write after replicaLag.
type lagging struct {
	mu      sync.Mutex // guards all below
	value   string
	next    string
	visible time.Time
}

func (l *lagging) write(value string) (visible time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next, l.visible = value, time.Now().Add(replicaLag)
	return l.visible
}

func (l *lagging) load(context.Context, string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next != "" && time.Now().After(l.visible) {
		l.value = l.next
	}
	return l.value, nil
}

// invalidations are the ways to tell of a write.
var invalidations = map[string]func(t *testing.T, a *instance, write func()) error{
	"Invalidate": func(t *testing.T, a *instance, write func()) error {
		write()
		return a.Invalidate(t.Context(), "k")
	},
	"Mutate": func(t *testing.T, a *instance, write func()) error {
		return a.Mutate(t.Context(), []string{"k"}, func(context.Context) error { write(); return nil })
	},
	"InvalidateTags": func(t *testing.T, a *instance, write func()) error {
		write()
		return a.InvalidateTags(t.Context(), "t")
	},
	"InvalidateAll": func(t *testing.T, a *instance, write func()) error {
		write()
		return a.InvalidateAll(t.Context())
	},
}

// All ways are tried side by side: most of it is waiting.
func TestHoldOffKeepsOutWhatALaggingReplicaSays(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	all := make(map[string]*heldOff)
	for name := range invalidations {
		h := &heldOff{name: name}
		h.fleet[0], h.fleet[1], h.src = laggingPair(t, server, prefix(t)+"."+name, holdOff)
		all[name] = h
	}
	<-time.After(holdOff) // they may have missed what was invalidated before they came
	var last time.Time
	for name, h := range all {
		hold(t, "k", "old|t", h.fleet[0], h.fleet[1])
		if err := invalidations[name](t, h.fleet[0], func() { h.visible = h.src.write("new|t") }); err != nil {
			t.Error(name, err)
		}
		h.read(t, h.fleet[0])
		h.late = time.Now().After(h.visible)
		h.fleet[2] = enter(t, server.Addr(), redis.Options{Prefix: h.fleet[0].prefix}, cache.Options[string, string]{HoldOff: holdOff, Tags: tagsOf})
		missesSoon(t, h.fleet[1], "k")
		last = h.visible
	}
	for time.Now().Before(last.Add(holdOff + replicaLag)) {
		for _, h := range all {
			h.read(t, h.fleet[:]...)
		}
		<-time.After(2 * time.Millisecond)
	}
	for name, h := range all {
		if h.stale == 0 && !h.late {
			t.Errorf("%s: nobody read the replica while it lagged", name)
		}
		for _, i := range h.fleet {
			redistest.Eventually(t, soon, name+": it is stored again", func() bool {
				h.read(t, i)
				v, err := i.Get(t.Context(), "k")
				return err == nil && v == "new|t"
			})
		}
		within(t, last.Add(holdOff+replicaLag), holdOff, name+": to be stored again")
	}
}

// heldOff are two instances, one that comes later, and their source.
type heldOff struct {
	name    string
	fleet   [3]*instance
	src     *lagging
	visible time.Time
	late    bool // the first read did not end while the replica lagged
	stale   int  // reads of the old value
}

func (h *heldOff) read(t *testing.T, fleet ...*instance) {
	t.Helper()
	for _, i := range fleet {
		asked := time.Now()
		v, err := i.GetOrLoad(t.Context(), "k", h.src.load)
		if err != nil || (v != "new|t" && asked.After(h.visible)) {
			t.Fatalf("%s: %v after the replica had the new value: GetOrLoad = %q, %v", h.name, asked.Sub(h.visible), v, err)
		}
		if v == "old|t" {
			h.stale++
		}
	}
}

// laggingPair are two instances, and a source that lags.
func laggingPair(t *testing.T, server *redistest.Server, prefix string, holdOff time.Duration) (a, b *instance, src *lagging) {
	t.Helper()
	s, o := redis.Options{Prefix: prefix}, cache.Options[string, string]{HoldOff: holdOff, Tags: tagsOf}
	return enter(t, server.Addr(), s, o), enter(t, server.Addr(), s, o), &lagging{value: "old|t"}
}

// Without HoldOff the replica's old value stays: the test above would see it.
func TestWithoutHoldOffALaggingReplicasValueStays(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, tell := range invalidations {
		t.Run(name, func(t *testing.T) {
			n := 0
			redistest.Eventually(t, soon, "the replica is read while it lags", func() bool {
				n++
				a, b, src := laggingPair(t, server, fmt.Sprint(prefix(t), ".", n), 0)
				hold(t, "k", "old|t", a, b)
				var visible time.Time
				if err := tell(t, a, func() { visible = src.write("new|t") }); err != nil {
					t.Fatal(err)
				}
				missesSoon(t, b, "k")
				v, err := a.GetOrLoad(t.Context(), "k", src.load)
				if v == "new|t" && time.Now().After(visible) {
					return false // the machine is busy
				}
				if err != nil || v != "old|t" {
					t.Fatalf("GetOrLoad = %q, %v: the replica does not lag", v, err)
				}
				<-time.After(replicaLag)
				wantGet(t, a.Cache, "k", "old|t")
				wantGet(t, b.Cache, "k", "old|t")
				return true
			})
		})
	}
}

// A tombstone that Redis has no memory for removes what stood there all the same.
func TestATombstoneThatIsRefusedRemovesTheOldValue(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	keys := []string{"1", "2", "3"}
	for name, change := range map[string]func(*testing.T, *instance, func()) error{
		"Invalidate": func(t *testing.T, a *instance, inside func()) error {
			defer inside()
			return a.Invalidate(t.Context(), keys...)
		},
		"Mutate": func(t *testing.T, a *instance, inside func()) error {
			return a.Mutate(t.Context(), keys, func(context.Context) error { inside(); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{HoldOff: holdOff})
			b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{HoldOff: holdOff})
			<-time.After(holdOff) // they may have missed what was invalidated before they came
			for _, key := range keys {
				hold(t, key, "old", a, b)
			}
			maxMemory(t, server, 1)
			err := change(t, a, func() {
				for _, key := range keys {
					if old, err := server.Client().Get(t.Context(), record(t, key)).Result(); err == nil {
						t.Errorf("Redis holds %q", old)
					}
					wantLoad(t, a.Cache, key, "new")
				}
			})
			if err == nil {
				t.Error("no error, though nobody can be told")
			}
			maxMemory(t, server, 0)
			later := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{HoldOff: holdOff})
			for _, key := range keys {
				wantMiss(t, later.Cache, key)
				wantMiss(t, a.Cache, key)
			}
			if err := a.Invalidate(t.Context(), keys...); err != nil {
				t.Error(err)
			}
			for _, key := range keys {
				missesSoon(t, b, key)
			}
			if n := a.Stats().Unconfirmed; n != 0 {
				t.Errorf("%d keys are distrusted after an Invalidate that succeeded", n)
			}
		})
	}
}
