package redis_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// TestExtremeOptions: with durations as long and as short as there are, Redis is sent no
// TTL that it refuses, and values, tags and Mutate work.
func TestExtremeOptions(t *testing.T) {
	t.Parallel()
	const longest = time.Duration(math.MaxInt64)
	quarter := longest / 4
	stores := map[string]redis.Options{
		"default": {Timeout: patient.Timeout},
		"longest": {
			Timeout: longest, LeaseTTL: longest, ProbeInterval: longest, LogTimeout: longest,
			MaxFailures: math.MaxInt, LogLength: math.MaxInt, LogBytes: math.MaxInt,
		},
		"shortest": {Timeout: patient.Timeout, LeaseTTL: 3 * time.Millisecond, ProbeInterval: 1, LogTimeout: time.Second, MaxFailures: 1, LogLength: 1, LogBytes: 1},
	}
	caches := map[string]cache.Options[string, string]{
		"longest": {
			TTL: longest, MaxAge: longest, NotFoundTTL: longest, Jitter: 5e-324,
			LoadTimeout: longest, WaitTimeout: longest, MutateTimeout: longest, MaxLoads: math.MaxInt, Schema: math.MaxInt,
			Local: local.Options{TTL: longest, MaxEntries: math.MaxInt, MaxCost: math.MaxInt64},
		},
		"long":              {TTL: quarter, MaxAge: 3 * quarter, NotFoundTTL: quarter, MutateTimeout: 3 * quarter},
		"fifteen years":     {TTL: 15 * 365 * 24 * time.Hour},
		"shortest timeouts": {TTL: time.Hour, LoadTimeout: 1, WaitTimeout: 1, MutateTimeout: 1, Local: local.Options{TTL: 1, MaxEntries: 1}},
	}
	server := redistest.Start(t)
	for storeName, s := range stores {
		for cacheName, o := range caches {
			t.Run(storeName+" store, "+cacheName, func(t *testing.T) {
				s.Prefix = prefix(t)
				o.Tags = tagsOf
				a, b := enter(t, server.Addr(), s, o), enter(t, server.Addr(), s, o)
				tryExtremes(t, server, a, b, o, storeName == "shortest")
			})
		}
	}
}

// tryExtremes calls everything. With mayMiss the log is so short that the reader of a busy
// machine may miss entries, which it counts as gaps.
func tryExtremes(t *testing.T, server *redistest.Server, a, b *instance, o cache.Options[string, string], mayMiss bool) {
	t.Helper()
	share(t, "v|t", a, b)
	if _, err := a.GetOrLoad(t.Context(), "none", fails(cache.ErrNotFound)); err != cache.ErrNotFound {
		t.Errorf("GetOrLoad: %v", err)
	}
	err := a.Mutate(t.Context(), []string{"k"}, func(context.Context) error {
		missesSoon(t, b, "k")
		wantLoad(t, b.Cache, "k", "w|t")
		return nil
	})
	if err != nil {
		t.Errorf("Mutate: %v", err)
	}
	for name, invalidate := range map[string]func() error{
		"InvalidateTags": func() error { return a.InvalidateTags(t.Context(), "t") },
		"InvalidateAll":  func() error { return a.InvalidateAll(t.Context()) },
		"Set":            func() error { return a.Set(t.Context(), "k", "set|t") },
		"Invalidate":     func() error { return a.Invalidate(t.Context(), "k") },
	} {
		upToDate(t, server, a, b)
		share(t, name+"|t", a, b)
		if err := invalidate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		upToDate(t, server, a, b)
		if v, _ := b.Get(t.Context(), "k"); v == name+"|t" {
			t.Errorf("after %s the other instance gets the old value", name)
		}
		if err := a.Invalidate(t.Context(), "k"); err != nil {
			t.Errorf("Invalidate: %v", err)
		}
	}
	for _, i := range []*instance{a, b} {
		redistest.Eventually(t, soon, "nothing runs in the background", func() bool { return i.Stats().Background == 0 })
		if s := i.Stats(); s.RemoteErrors+s.RemoteTimeouts+s.RemoteUnavailable+s.CorruptRecords != 0 || s.Gaps != 0 && !mayMiss {
			t.Errorf("stats: %+v", s)
		}
	}
}

// share has a fill k, and b read it. A lease of 3 ms may lapse on a busy machine before it
// is filled, and so it may take more than one load.
func share(t *testing.T, value string, a, b *instance) {
	t.Helper()
	redistest.Eventually(t, soon, "the other instance gets "+value, func() bool {
		if err := a.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		wantLoad(t, a.Cache, "k", value)
		v, err := b.Get(t.Context(), "k")
		return err == nil && v == value
	})
}

func fails(err error) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return "", err }
}
