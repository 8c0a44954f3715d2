package redis_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

func TestInvalidateAllReachesWarmColdAndLaterInstances(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, tags := range map[string]func(_, _ string) []string{"with tags": tagsOf, "without": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			enters := func() *instance {
				return enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{Tags: tags, NotFoundTTL: time.Hour})
			}
			a, warm, cold := enters(), enters(), enters()
			keys := make([]string, 20)
			for i := range keys {
				keys[i] = fmt.Sprint(i)
				hold(t, keys[i], "old|t", a, warm)
			}
			none := func(context.Context, string) (string, error) { return "", cache.ErrNotFound }
			if _, err := a.GetOrLoad(t.Context(), "none", none); !errors.Is(err, cache.ErrNotFound) {
				t.Error(err)
			}
			idle(t, a)
			if _, err := warm.Get(t.Context(), "none"); !errors.Is(err, cache.ErrNotFound) {
				t.Error(err)
			}
			hasRecords(t, server, a)
			invalidateAll(t, a)
			later := enters()
			upToDate(t, server, warm, cold)
			for _, i := range []*instance{a, warm, cold, later} {
				for _, key := range append(keys, "none") {
					wantMiss(t, i.Cache, key)
				}
			}
			for k, key := range keys {
				all := []*instance{a, warm, cold, later, enters()}
				wantLoad(t, all[k%5].Cache, key, "new|t")
				hasRecords(t, server, a)
				for _, i := range all[:4] {
					wantGet(t, i.Cache, key, "new|t")
				}
				if k > 4 {
					break
				}
			}
			wantGet(t, enters().Cache, keys[0], "new|t")
			wantMiss(t, enters().Cache, keys[19])
		})
	}
}

// It costs the same for many values as for few: nothing is deleted.
func TestInvalidateAllCostsAFewCommands(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := tagged(t, server)
	for i := range 100 {
		wantLoad(t, a.Cache, fmt.Sprint(i), "v|t")
	}
	hasRecords(t, server, a, "t")
	for name, invalidates := range map[string]func(*testing.T, *instance){
		"a tag":           func(t *testing.T, a *instance) { invalidateTags(t, a, "t") },
		"the whole cache": invalidateAll,
	} {
		server.ResetCommands()
		invalidates(t, a)
		got := commands(server)
		if xadd := server.Commands()["xadd"]; xadd != 2 || got["unlink"]+got["del"] != 0 || got["eval"]+got["evalsha"] != 1 || got["set"] != 3 {
			t.Errorf("%s: %d XADD and %v, want two, a mark behind each, a script that sets, and nothing deleted", name, xadd, got)
		}
	}
}

// A fleet that has the same keys is told to drop them at once, and loads each once.
func TestAfterInvalidateAllTheFleetLoadsEachKeyOnce(t *testing.T) {
	t.Parallel()
	const keys, instances = 10, 4
	server := redistest.Start(t)
	fleet := make([]*instance, instances)
	for i := range fleet {
		fleet[i] = tagged(t, server)
	}
	for k := range keys {
		hold(t, fmt.Sprint(k), "old|t", fleet[0], fleet[1:]...)
	}
	hasRecords(t, server, fleet[0], "t")
	invalidateAll(t, fleet[0])
	upToDate(t, server, fleet...)
	inParallel(keys*instances, func(i int) {
		v, err := fleet[i%instances].GetOrLoad(t.Context(), fmt.Sprint(i/instances), loads("new|t"))
		if err != nil || v != "new|t" {
			t.Errorf("GetOrLoad = %q, %v", v, err)
		}
	})
	n := uint64(0)
	for _, i := range fleet {
		n += i.Stats().Loads
	}
	if n != 2*keys {
		t.Errorf("%d loads in all, want two for each of %d keys", n, keys)
	}
}
