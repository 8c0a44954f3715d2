package redis_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// Instances of one process, with clients of their own, and with one for all.
func TestAnInvalidationReachesTheLocalTiersOfTheOthers(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	for name, enters := range map[string]func(t *testing.T) *instance{
		"own clients": func(t *testing.T) *instance {
			return enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
		},
		"one client": func(t *testing.T) *instance {
			return enterWith(t, client, redis.Options{}, cache.Options[string, string]{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			fleet := []*instance{enters(t), enters(t), enters(t)}
			hold(t, "kept", "kept", fleet[0], fleet[1:]...)
			const rounds = 12
			for i := range rounds {
				a := fleet[i%3]
				b, c := fleet[(i+1)%3], fleet[(i+2)%3]
				hold(t, "k", fmt.Sprint("value ", i), a, b, c)
				invalidate(t, a, "k")
				missesSoon(t, b, "k")
				missesSoon(t, c, "k")
				misses(t, b, "k")
			}
			for i, member := range fleet {
				wantGet(t, member.Cache, "kept", "kept")
				s := member.Stats()
				if s.InvalidationsReceived != rounds*2/3 || len(member.seen.tolds()) != rounds*2/3 || s.Gaps != 0 {
					t.Errorf("instance %d was told of %d invalidations, traced %d, and had %d gaps; want %d, as many, and none",
						i, s.InvalidationsReceived, len(member.seen.tolds()), s.Gaps, rounds*2/3)
				}
			}
		})
	}
}

func TestSetReachesTheLocalTiersOfTheOthers(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	hold(t, "k", "loaded", a, b)
	if err := a.Set(t.Context(), "k", "set"); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, soon, "the other instance reads what was set", func() bool {
		v, err := b.Get(t.Context(), "k")
		return err == nil && v == "set"
	})
	wantGet(t, a.Cache, "k", "set")
}

// Names lead back to keys of which only Options.Key knows how they are written.
func TestAnInvalidationOfAKeyWithAFormOfItsOwnReachesTheOthers(t *testing.T) {
	t.Parallel()
	type id struct{ tenant, user int }
	server := redistest.Start(t)
	o := cache.Options[id, string]{Key: func(k id) string { return fmt.Sprintf("%d:%d", k.tenant, k.user) }}
	instances := func() *cache.Cache[id, string] {
		s := open(t, server.URL(), redis.Options{Timeout: patient.Timeout, Prefix: prefix(t)})
		defer follows(t, s)
		return cacheOn(t, s, o)
	}
	a, b := instances(), instances()
	for tenant := range 10 {
		wantLoad(t, a, id{tenant, 1}, "v")
		wantGet(t, b, id{tenant, 1}, "v")
	}
	if err := a.Invalidate(t.Context(), id{3, 1}, id{7, 1}); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, soon, "the other instance is told", func() bool { return b.Stats().InvalidationsReceived == 2 })
	for tenant := range 10 {
		if k := (id{tenant, 1}); tenant == 3 || tenant == 7 {
			wantMiss(t, b, k)
		} else {
			wantGet(t, b, k, "v")
		}
	}
}

// The echo comes after the next load, which it must leave alone.
func TestAnInstanceDoesNotActOnItsOwnEcho(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{Tags: tagsOf})
	for i := range 30 {
		v := fmt.Sprint(i, "|t")
		invalidate(t, a, "k", "absent")
		if err := errors.Join(a.InvalidateTags(t.Context(), "t"), a.InvalidateAll(t.Context())); err != nil {
			t.Error(err)
		}
		wantLoad(t, a.Cache, "k", v)
		upToDate(t, server, a)
		before := a.Stats().LocalHits
		wantGet(t, a.Cache, "k", v)
		if a.Stats().LocalHits != before+1 {
			t.Fatalf("round %d: the local copy has gone", i)
		}
	}
	if s := a.Stats(); s.InvalidationsReceived != 0 || len(a.seen.tolds()) != 0 || s.Loads != 30 || s.InvalidLocals != 0 {
		t.Errorf("told %d times, traced %d, %d loads, %d wrong copies; want none, none, 30, none",
			s.InvalidationsReceived, len(a.seen.tolds()), s.Loads, s.InvalidLocals)
	}
}

func TestAnEntryForAKeyThatIsNotHeldCostsNoCommand(t *testing.T) {
	t.Parallel()
	const n = 200
	server := redistest.Start(t)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	hold(t, "k", "v", a, b)
	upToDate(t, server, a, b)
	idle(t, a, b)
	server.ResetCommands()
	for i := range n {
		invalidate(t, a, fmt.Sprint("other ", i))
	}
	if got := server.Commands()["xadd"]; got != n {
		t.Errorf("%d entries, want %d", got, n)
	}
	upToDate(t, server, a, b)
	if got := commands(server); got["unlink"] != n || got["getrange"] != n || got["eval"]+got["evalsha"] != n || got["set"] != n || len(got) > 5 {
		t.Errorf("%d invalidations of keys that nobody holds cost, besides the log's, %v; want a script with GETRANGE and UNLINK and a mark for each", n, got)
	}
	wantGet(t, b.Cache, "k", "v")
	if s := b.Stats(); s.LocalHits != 1 || s.LocalEntries != 1 || s.InvalidationsReceived != n {
		t.Errorf("%d local hits, %d entries, told %d times; want 1, 1, %d", s.LocalHits, s.LocalEntries, s.InvalidationsReceived, n)
	}
}

func TestFillsAreNotAnnounced(t *testing.T) {
	t.Parallel()
	const instances, misses = 5, 40
	server := redistest.Start(t)
	for i := range instances {
		m := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{Tags: tagsOf, NotFoundTTL: soon})
		for j := range misses {
			wantLoad(t, m.Cache, fmt.Sprint(i, " ", j), "v|t,u")
		}
		_, err := m.GetOrLoad(t.Context(), fmt.Sprint("none ", i), func(context.Context, string) (string, error) {
			return "", cache.ErrNotFound
		})
		if !errors.Is(err, cache.ErrNotFound) {
			t.Error(err)
		}
		idle(t, m)
	}
	if n := server.Commands()["xadd"]; n != 1 {
		t.Errorf("%d entries for %d misses on %d instances, want the first one's beginning alone", n, misses, instances)
	}
}
