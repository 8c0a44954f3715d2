package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// lateBudget is a budget that a test can wait for.
const lateBudget = time.Second

// holdup is a hook that holds up the next batch of scripts until it is told to let go, as a
// network may.
type holdup struct {
	armed   atomic.Bool
	letGo   chan struct{}
	arrived chan struct{}
}

func newHoldup() *holdup { return &holdup{letGo: make(chan struct{}), arrived: make(chan struct{})} }

func (h *holdup) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (h *holdup) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (h *holdup) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if !strings.HasPrefix(cmds[0].Name(), "eval") || !h.armed.CompareAndSwap(true, false) {
			return next(ctx, cmds)
		}
		<-h.letGo
		defer close(h.arrived)
		return next(context.WithoutCancel(ctx), cmds)
	}
}

// arrive lets the batch go, and returns when it has been carried out.
func (h *holdup) arrive() {
	close(h.letGo)
	<-h.arrived
}

// enterHeldUp makes an instance whose scripts may be held up.
func enterHeldUp(t *testing.T, client goredis.UniversalClient, s redis.Options, o cache.Options[string, string]) (*instance, *holdup) {
	t.Helper()
	h := newHoldup()
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(h)
	s.Timeout = lateBudget
	return enterWith(t, client, s, o), h
}

// mutateLate is a Mutate whose guard is held up.
func (h *holdup) mutateLate(t *testing.T, a *instance, keys []string, write func()) {
	t.Helper()
	h.armed.Store(true)
	err := a.Mutate(t.Context(), keys, func(context.Context) error { write(); return nil })
	if err != nil {
		t.Error("Mutate:", err)
	}
}

func TestABanThatArrivesAfterItsMutateIsTakenOff(t *testing.T) {
	t.Parallel()
	server, cluster := redistest.Start(t), redistest.StartCluster(t, 3)
	clients := map[string]func() goredis.UniversalClient{
		"one server": func() goredis.UniversalClient { return goredis.NewClient(&goredis.Options{Addr: server.Addr()}) },
		"a Cluster": func() goredis.UniversalClient {
			return goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()})
		},
	}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := cache.Options[string, string]{MutateTimeout: time.Hour, Local: noLocal}
			a, h := enterHeldUp(t, client(), redis.Options{}, o)
			plain := client()
			defer plain.Close()
			b := enterWith(t, plain, redis.Options{}, o)
			keys := []string{"k"}
			if name == "one server" {
				keys = []string{"k", "l", "m"} // in a Cluster they would be several batches
			}
			if err := a.Mutate(t.Context(), keys, func(context.Context) error { return nil }); err != nil { // the scripts are known
				t.Fatal(err)
			}
			h.mutateLate(t, a, keys, func() {})
			for _, key := range keys { // the old values would be gone anyway
				wantLoad(t, b.Cache, key, "new")
			}
			h.arrive()
			fills := b.Stats().Fills
			for _, key := range keys {
				redistest.Eventually(t, soon, "the key is filled, and hit", func() bool {
					v, err := b.GetOrLoad(t.Context(), key, yields[string]("new"))
					if err != nil || v != "new" {
						t.Fatalf("GetOrLoad = %q, %v", v, err)
					}
					return plain.GetRange(t.Context(), record(t, key), 0, 0).Val() == "V"
				})
			}
			redistest.Eventually(t, soon, "the fill is counted", func() bool { return b.Stats().Fills > fills })
			for _, key := range keys {
				wantGet(t, a.Cache, key, "new")
			}
		})
	}
}

// Of a tombstone with other guards, or with a HoldOff, these are left.
func TestWhatElseATombstoneStandsForIsLeft(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := func() goredis.UniversalClient { return goredis.NewClient(&goredis.Options{Addr: server.Addr()}) }
	bansOf := func(t *testing.T, key string) int {
		size := server.Client().StrLen(t.Context(), record(t, key)).Val()
		if size == 0 {
			t.Fatal("there is no tombstone")
		}
		return int((size - 3) / 16)
	}
	t.Run("another Mutate", func(t *testing.T) {
		o := cache.Options[string, string]{MutateTimeout: time.Hour}
		a, h := enterHeldUp(t, client(), redis.Options{}, o)
		b := enter(t, server.Addr(), redis.Options{}, o)
		err := b.Mutate(t.Context(), []string{"k"}, func(context.Context) error {
			h.mutateLate(t, a, []string{"k"}, func() {})
			h.arrive()
			redistest.Eventually(t, soon, "the other guard alone is left", func() bool { return bansOf(t, "k") == 1 })
			if left := pttl(t, server, "k"); left < 50*time.Minute {
				t.Errorf("it stands for %v", left)
			}
			return nil
		})
		if err != nil {
			t.Error("Mutate:", err)
		}
		wantMiss(t, b.Cache, "k")
		wantLoad(t, b.Cache, "k", "new")
	})
	t.Run("a HoldOff", func(t *testing.T) {
		const holdOff = time.Minute
		a, h := enterHeldUp(t, client(), redis.Options{}, cache.Options[string, string]{MutateTimeout: time.Hour, HoldOff: holdOff})
		h.mutateLate(t, a, []string{"k"}, func() {})
		h.arrive()
		redistest.Eventually(t, soon, "no guard is left", func() bool { return bansOf(t, "k") == 0 })
		wantPTTL(t, server, "k", holdOff/2, holdOff)
	})
}

// While the Mutate runs its guard stands, however late it came.
func TestABanThatArrivesDuringItsMutateStands(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	const leaseTTL = 120 * time.Millisecond // a chase would look every 10 ms
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	a, h := enterHeldUp(t, client, redis.Options{LeaseTTL: leaseTTL}, cache.Options[string, string]{})
	h.mutateLate(t, a, []string{"k"}, func() {
		h.arrive()
		for until := time.Now().Add(leaseTTL); time.Now().Before(until); <-time.After(time.Millisecond) {
			if kind := server.Client().GetRange(t.Context(), record(t, "k"), 0, 0).Val(); kind != "T" {
				t.Fatalf("there is %q instead of the tombstone", kind)
			}
		}
	})
	wantMiss(t, a.Cache, "k")
	wantLoad(t, a.Cache, "k", "new")
}

// A network that holds up everything holds up the lift too, which may then come before the
// guard: they are on two connections.
func TestABanThatANetworkHoldsUpIsTakenOff(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	o := cache.Options[string, string]{MutateTimeout: time.Hour}
	a := enter(t, link.Addr(), redis.Options{Timeout: lateBudget, ProbeInterval: 10 * time.Millisecond}, o)
	b := enter(t, server.Addr(), redis.Options{}, o)
	for i := range 5 {
		key := fmt.Sprint("k", i)
		wantLoad(t, b.Cache, key, "old")
		redistest.Eventually(t, soon, "the value is read within a budget", func() bool {
			v, err := a.Get(t.Context(), key)
			return err == nil && v == "old"
		})
		link.Freeze()
		err := a.Mutate(t.Context(), []string{key}, func(context.Context) error { return nil })
		var failed *cache.RemoteError
		if err != nil && !errors.As(err, &failed) {
			t.Error("Mutate:", err)
		}
		link.Restore()
		redistest.Eventually(t, soon, "the key is filled", func() bool {
			if err := a.Invalidate(t.Context(), key); err != nil {
				return false
			}
			_, err := b.GetOrLoad(t.Context(), key, yields[string]("new"))
			return err == nil && server.Client().GetRange(t.Context(), record(t, key), 0, 0).Val() == "V"
		})
	}
}
