package redis_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// oddEntries are entries that no Store of this release appends.
func oddEntries() map[string][]any {
	good := logEntry("c:0:k", "c:0:other")
	odd := map[string][]any{
		"another field":      {"x", good},
		"a field too many":   {"e", good, "x", "y"},
		"another version":    {"e", "\x02" + good[1:]},
		"version zero":       {"e", "\x00" + good[1:]},
		"empty":              {"e", ""},
		"version alone":      {"e", good[:1]},
		"no whole origin":    {"e", good[:8]},
		"a name cut off":     {"e", good[:len(good)-1]},
		"a length cut off":   {"e", logEntry() + "\xff"},
		"a huge length":      {"e", logEntry() + "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"},
		"an overlong length": {"e", logEntry() + strings.Repeat("\x80", 12) + "\x01"},
		"JSON":               {"e", `{"keys":["k"]}`},
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		garbage := make([]byte, r.IntN(40))
		for j := range garbage {
			garbage[j] = byte(r.IntN(256))
		}
		odd[fmt.Sprint("garbage ", i)] = []any{"e", "\x02" + string(garbage)}
	}
	return odd
}

func TestEntriesThatAreNotUnderstoodAreSteppedOver(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	hold(t, "kept", "kept", a, b)
	n := uint64(0)
	for name, values := range oddEntries() {
		hold(t, "k", "old", a, b)
		a.add(t, server, "*", values...)
		invalidate(t, a, "k")
		missesSoon(t, b, "k")
		upToDate(t, server, a, b)
		n++
		for _, i := range []*instance{a, b} {
			if got := i.store.Stats().LogMalformed; got != n {
				t.Errorf("%s: %d entries are counted as malformed, want %d", name, got, n)
			}
		}
	}
	for _, i := range []*instance{a, b} {
		if got := i.seen.lines("a log entry is not understood"); got != 1 {
			t.Errorf("logged %d times, want once", got)
		}
		i.wantLogGaps(t, "odd entries", 0)
		if s := i.store.Stats(); s.LogSessions != 1 || s.LogEntries < 2*n {
			t.Errorf("%d sessions, %d entries; want 1, and at least %d", s.LogSessions, s.LogEntries, 2*n)
		}
		wantGet(t, i.Cache, "kept", "kept")
	}
}

// What is wrong comes first, in the middle and last in one reply.
func TestOddEntriesInOneReplyWithGoodOnes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, link.Addr(), redis.Options{LogTimeout: soon}, cache.Options[string, string]{})
	keys := []string{"1", "2", "3"}
	for _, key := range keys {
		hold(t, key, "old", a, b)
	}
	link.Freeze()
	a.add(t, server, "*", "e", "odd")
	for _, key := range keys {
		invalidate(t, a, key)
		a.add(t, server, "*", "odd", logEntry("c:0:"+key))
	}
	link.Restore()
	upToDate(t, server, b)
	misses(t, b, keys...)
	if n := b.store.Stats().LogMalformed; n != 4 {
		t.Errorf("%d entries are counted as malformed, want 4", n)
	}
}

// Names that concern nothing here, or have another form than any name has, are no
// malformed entries: a later release may have others.
func TestNamesOfOthersAreNobodysBusiness(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{Tags: tagsOf})
	wantLoad(t, b.Cache, "k", "v|t")
	b.add(t, server, "*", "e", logEntry("", ":", "::", "c", "c:", "c:1:k", "c:0", "d:0:k", "c:0:K", "d::", "d::t", "cc::", "C::", "c::T", "c:0:k ", " c:0:k"))
	upToDate(t, server, b)
	before := b.Stats().LocalHits
	wantGet(t, b.Cache, "k", "v|t")
	if s := b.Stats(); s.LocalHits != before+1 || b.store.Stats().LogMalformed != 0 {
		t.Errorf("%d local hits, %d malformed entries; want one more than %d, and none", s.LocalHits, b.store.Stats().LogMalformed, before)
	}
	for _, name := range []string{"c:0:k", "c::t", "c::"} { // those that are
		b.add(t, server, "*", "e", logEntry("odd", name, "odder"))
		upToDate(t, server, b)
		del(t, server, b.prefix+":c:0:k")
		wantMiss(t, b.Cache, "k")
		wantLoad(t, b.Cache, "k", "v|t")
	}
}
