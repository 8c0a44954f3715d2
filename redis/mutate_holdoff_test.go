package redis_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

const (
	replicaLag = 120 * time.Millisecond
	holdOff    = 350 * time.Millisecond
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

func TestHoldOffKeepsOutWhatALaggingReplicaSays(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, tell := range invalidations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, src := laggingPair(t, server, holdOff)
			var visible time.Time
			if err := tell(t, a, func() { visible = src.write("new|t") }); err != nil {
				t.Fatal(err)
			}
			later := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{HoldOff: holdOff, Tags: tagsOf})
			fleet := []*instance{a, b, later}
			missesSoon(t, b, "k")
			stale := 0
			for end := visible.Add(holdOff + replicaLag); time.Now().Before(end); {
				for _, i := range fleet {
					asked := time.Now()
					v, err := i.GetOrLoad(t.Context(), "k", src.load)
					if err != nil || (v != "new|t" && asked.After(visible)) {
						t.Fatalf("%v after the replica had the new value: GetOrLoad = %q, %v", asked.Sub(visible), v, err)
					}
					if v == "old|t" {
						stale++
					}
				}
				<-time.After(2 * time.Millisecond)
			}
			if stale == 0 {
				t.Error("nobody read the replica while it lagged")
			}
			for _, i := range fleet {
				wantGet(t, i.Cache, "k", "new|t") // it is stored again
			}
		})
	}
}

// laggingPair are two instances that hold the value of a source that lags.
func laggingPair(t *testing.T, server *redistest.Server, holdOff time.Duration) (a, b *instance, src *lagging) {
	t.Helper()
	o := cache.Options[string, string]{HoldOff: holdOff, Tags: tagsOf}
	a, b = enter(t, server.Addr(), redis.Options{}, o), enter(t, server.Addr(), redis.Options{}, o)
	src = &lagging{value: "old|t"}
	<-time.After(holdOff) // they may have missed what was invalidated before they came
	hold(t, "k", "old|t", a, b)
	hasRecords(t, server, a, "t")
	return a, b, src
}

// Without HoldOff the replica's old value stays: the test above would see it.
func TestWithoutHoldOffALaggingReplicasValueStays(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, tell := range invalidations {
		t.Run(name, func(t *testing.T) {
			a, b, src := laggingPair(t, server, 0)
			if err := tell(t, a, func() { src.write("new|t") }); err != nil {
				t.Fatal(err)
			}
			missesSoon(t, b, "k")
			if v, err := a.GetOrLoad(t.Context(), "k", src.load); err != nil || v != "old|t" {
				t.Fatalf("GetOrLoad = %q, %v: the replica does not lag", v, err)
			}
			<-time.After(replicaLag)
			wantGet(t, a.Cache, "k", "old|t")
			wantGet(t, b.Cache, "k", "old|t")
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
			if n := a.Stats().Distrusted; n != 0 {
				t.Errorf("%d keys are distrusted after an Invalidate that succeeded", n)
			}
		})
	}
}
