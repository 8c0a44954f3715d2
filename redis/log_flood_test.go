package redis_test

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/faultlink"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// flood is how many keys are invalidated, of which a thousand are held. They are
// invalidated some to an entry, so that there are a thousand entries.
//
//	go test ./redis -run MoreInvalidations -v -flood 1000000
var flood = flag.Int("flood", 20_000, "how many keys are invalidated at once")

const (
	floodHeld    = 1000
	floodEntries = 1000
)

func floodKey(i int) string { return fmt.Sprint("key ", i) }

// newFlood returns an instance that invalidates and one, behind a link, that holds.
func newFlood(t *testing.T, length int) (server *redistest.Server, link *faultlink.Link, a, b *instance) {
	t.Helper()
	server = redistest.Start(t, "--stream-node-max-entries", "10")
	link = lineTo(t, server)
	o := redis.Options{LogLength: length, LogTimeout: soon}
	a = enter(t, server.Addr(), o, cache.Options[string, string]{})
	b = enter(t, link.Addr(), o, cache.Options[string, string]{})
	redistest.Eventually(t, soon, "all keys are held", func() bool { // a lease may lapse while the machine stalls
		inParallel(floodHeld, func(i int) {
			if v, err := b.GetOrLoad(t.Context(), floodKey(i**flood/floodHeld), yields[string]("old")); err != nil || v != "old" {
				t.Errorf("GetOrLoad = %q, %v", v, err)
			}
		})
		idle(t, b)
		return b.Stats().LocalEntries == floodHeld
	})
	return server, link, a, b
}

// inParallel calls f for 0 to n-1, on some goroutines.
func inParallel(n int, f func(int)) {
	const workers = 8
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	running.Wait()
}

// pour invalidates all keys while nothing gets through to b.
func pour(t *testing.T, link *faultlink.Link, a, b *instance) {
	t.Helper()
	link.Freeze()
	defer link.Restore()
	keys := make([]string, *flood)
	for i := range keys {
		keys[i] = floodKey(i)
	}
	batches := slices.Collect(slices.Chunk(keys, *flood/floodEntries))
	inParallel(len(batches), func(i int) { invalidate(t, a, batches[i]...) })
	if n := b.Stats().InvalidationsReceived; n >= uint64(*flood) {
		t.Errorf("it keeps up: told of %d keys already", n)
	}
}

func wantNothingOld(t *testing.T, b *instance) {
	t.Helper()
	if n := b.Stats().LocalEntries; n != 0 {
		t.Errorf("%d keys are held still", n)
	}
	for i := range 20 { // Redis has none of them either
		wantMiss(t, b.Cache, floodKey(i**flood/20))
	}
}

func TestMoreInvalidationsThanTheLogHoldsAreAGap(t *testing.T) {
	t.Parallel()
	server, link, a, b := newFlood(t, 50)
	pour(t, link, a, b)
	upToDate(t, server, a, b)
	wantNothingOld(t, b)
	s := b.store.Stats()
	if s.LogGaps == 0 || s.LogGaps != b.Stats().Gaps {
		t.Errorf("%d gaps in the Store, %d in the Cache; want some, and as many", s.LogGaps, b.Stats().Gaps)
	}
	if n := server.Client().XLen(t.Context(), a.logKey()).Val(); n > 50+2*10 {
		t.Errorf("the log has %d entries, with a LogLength of 50", n)
	}
}

func TestMoreInvalidationsThanAnInstanceAppliesAreAllApplied(t *testing.T) {
	t.Parallel()
	server, link, a, b := newFlood(t, 0)
	pour(t, link, a, b)
	upToDate(t, server, a, b)
	wantNothingOld(t, b)
	b.wantLogGaps(t, "b", 0)
	if n := b.Stats().InvalidationsReceived; n < uint64(*flood) || n > uint64(*flood)*11/10 { // some are sent twice, for want of a script
		t.Errorf("told of %d keys, want %d, or some more", n, *flood)
	}
}

// A batch of more keys than one entry may name is some entries.
func TestAnInvalidateOfManyKeysIsTold(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	long := make([]string, 1200)
	for i := range long {
		long[i] = fmt.Sprintf("%d %01000d", i, i) // 1.2 MB of names
	}
	held := []string{long[0], long[499], long[500], long[700], long[1199]}
	for _, key := range held {
		hold(t, key, "old", a, b)
	}
	invalidate(t, a, long...)
	upToDate(t, server, b)
	misses(t, b, held...)
	if n := b.Stats().InvalidationsReceived; n != uint64(len(long)) {
		t.Errorf("told of %d keys, want %d", n, len(long))
	}
}
