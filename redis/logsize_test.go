package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// logMemory is what Redis says that the log takes.
func logMemory(t *testing.T, server *redistest.Server, i *instance) int64 {
	t.Helper()
	n, err := server.Client().MemoryUsage(t.Context(), i.logKey(), 0).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheLogIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for _, c := range []struct {
		name         string
		bytes, names int
	}{
		{"the default", 0, 500},
		{"a megabyte", 1 << 20, 500},
		{"a megabyte of short entries", 1 << 20, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			const entries = 3000
			a := enter(t, server.Addr(), redis.Options{Prefix: prefix(t) + fmt.Sprint(c.bytes, ".", c.names), LogBytes: c.bytes}, cache.Options[string, string]{})
			names := make([]string, c.names)
			for i := range names {
				names[i] = fmt.Sprintf("c:0:users by their name and address %d", i)
			}
			for range entries {
				if err := a.store.Announce(t.Context(), names...); err != nil {
					t.Fatal(err)
				}
			}
			bound := int64(c.bytes)
			if bound == 0 {
				bound = redis.DefaultLogBytes
			}
			got, n := logMemory(t, server, a), server.Client().XLen(t.Context(), a.logKey()).Val()
			t.Logf("%d of %d entries of %d names are kept, in %d bytes", n, entries, c.names, got)
			if got > bound || (c.names == 500 && got < bound/4) {
				t.Errorf("%d entries take %d bytes, want %d at most, and not much less", n, got, bound)
			}
			if c.names == 2 && n < entries {
				t.Errorf("%d of %d entries are kept", n, entries)
			}
		})
	}
}

// Many ask for the last entry, and receive the whole of it.
func TestTheLastEntryOfTheLogIsShort(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	last := func() (id, entry string) {
		got, err := server.Client().XRevRangeN(t.Context(), a.logKey(), "+", "-", 1).Result()
		if err != nil || len(got) != 1 {
			t.Fatal(len(got), err)
		}
		return got[0].ID, got[0].Values["e"].(string)
	}
	for _, size := range []int{1, 900, 1100, 15_000, 50_000} {
		key := strings.Repeat("k", size)
		for what, do := range map[string]func(){
			"Invalidate":    func() { invalidate(t, a, key) },
			"of two":        func() { invalidate(t, a, key, "other") },
			"Announce":      func() { _ = a.store.Announce(t.Context(), "c:0:"+key) },
			"Set":           func() { _ = a.Set(t.Context(), key, "v") },
			"InvalidateAll": func() { invalidateAll(t, a) },
		} {
			invalidate(t, a, key)
			upToDate(t, server, a, b)
			hold(t, key, "old", a, b)
			before := server.Client().XLen(t.Context(), a.logKey()).Val()
			do()
			id, entry := last()
			if len(entry) > 1024 {
				t.Errorf("%s of a key of %d bytes: the last entry has %d", what, size, len(entry))
			}
			if n := server.Client().XLen(t.Context(), a.logKey()).Val() - before; size < 1000 && what == "Announce" && n != 1 {
				t.Errorf("a key of %d bytes appends %d entries, want 1", size, n)
			}
			if at := position(a.store.Observed("c")); at != id {
				t.Errorf("%s: the store has heard of %s, the last entry is %s", what, at, id)
			}
			redistest.Eventually(t, soon, "the old value is gone", func() bool {
				v, _ := b.Get(t.Context(), key)
				return v != "old" || what == "Announce" // which leaves the record
			})
			upToDate(t, server, a, b)
		}
	}
	for _, i := range []*instance{a, b} {
		i.wantLogGaps(t, "long entries", 0)
		if n := i.store.Stats().LogMalformed; n != 0 {
			t.Errorf("%d entries are counted as malformed", n)
		}
	}
}

// Whatever nearside writes has a TTL.
func TestEveryKeyHasATTL(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	o := cache.Options[string, string]{Tags: tagsOf, NotFoundTTL: time.Minute, HoldOff: 10 * time.Millisecond}
	for _, partitions := range []int{1, 3} {
		a := enter(t, server.Addr(), redis.Options{LogPartitions: partitions, Prefix: fmt.Sprint(prefix(t), partitions)}, o)
		wantTTLs := func(when string, least int) {
			t.Helper()
			keys, err := server.Client().Keys(t.Context(), a.prefix+":*").Result()
			if err != nil || len(keys) < least {
				t.Fatalf("%s: keys %q, %v; want %d at least", when, keys, err, least)
			}
			for _, key := range keys {
				// -2 is a key that went since.
				if left := server.Client().PTTL(t.Context(), key).Val(); left == -1 {
					t.Errorf("%s: %s has no TTL", when, key)
				}
			}
		}
		wantTTLs("at the beginning", 1)         // the anchor of the log
		recordsInTheEnd(t, server, a, "t", "u") // not at first: of what was before, it holds all off
		wantLoad(t, a.Cache, "k", "v|t,u")
		wantTTLs("after a fill", 5)
		if _, err := a.GetOrLoad(t.Context(), "none", func(context.Context, string) (string, error) {
			wantTTLs("in a load", 6)
			return "", cache.ErrNotFound
		}); err == nil {
			t.Error("no error")
		}
		invalidateTags(t, a, "t")
		invalidateAll(t, a)
		invalidate(t, a, "k", strings.Repeat("long", 1000))
		wantTTLs("after invalidations", 6)
		err := a.Mutate(t.Context(), []string{"k", "l"}, func(context.Context) error {
			wantTTLs("in a Mutate", 7)
			return nil
		})
		if err != nil {
			t.Error("Mutate:", err)
		}
		if err := a.Set(t.Context(), "s", "v|t"); err != nil {
			t.Error("Set:", err)
		}
		hasty := opened(t, server.Addr(), redis.Options{Prefix: a.prefix, MaxFailures: 1, Timeout: 20 * time.Millisecond})
		server.Pause()
		if _, err := hasty.Get(t.Context(), "c:0:k", false); err == nil {
			t.Error("a server that is stopped answers")
		}
		server.Resume()
		redistest.Eventually(t, soon, "a probe closes the breaker", func() bool { return !hasty.Stats().BreakerOpen })
		wantTTLs("in the end", 5)
		if err := a.store.Close(); err != nil {
			t.Error(err)
		}
		wantTTLs("after Close", 5)
	}
}

// A log that is begun anew, beyond what was heard of, has a TTL too.
func TestALogThatIsLiftedHasATTL(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), redis.Options{LogTimeout: quickLog}, cache.Options[string, string]{})
	far := remote.Position{Time: uint64(time.Now().Add(time.Hour).UnixMilli())}
	a.add(t, server, position(far), "e", logEntry("c:0:k"))
	upToDate(t, server, a)
	del(t, server, a.logKey())
	invalidate(t, a, "k")
	if left := server.Client().PTTL(t.Context(), a.logKey()).Val(); left < 23*time.Hour {
		t.Errorf("the log stands for %v", left)
	}
}
