package cache_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/local"
)

func TestNewNamesEveryProblem(t *testing.T) {
	type point [2]int
	_, err := cache.New(cache.Options[point, string]{
		MaxAge: -1, NotFoundTTL: -1, LoadTimeout: -1, WaitTimeout: -1,
		MaxLoads: -1, Schema: -1, Jitter: 1,
		Local: local.Options{MaxEntries: -1, MaxCost: -1, TTL: -1, Policy: -1},
	})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, field := range []string{
		"Name is required", "TTL is required", "MaxAge is negative", "NotFoundTTL is negative",
		"LoadTimeout is negative", "WaitTimeout is negative", "MaxLoads is negative", "Schema is negative",
		"Jitter is not", "Local.MaxEntries is negative", "Local.MaxCost is negative", "Local.TTL is negative",
		"Local.Policy is unknown", "Key is required",
	} {
		found := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "cache: "+field) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%q is said %d times", field, found)
		}
	}
	if len(lines) != 14 {
		t.Errorf("%d problems were said:\n%v", len(lines), err)
	}
}

func TestNewRefuses(t *testing.T) {
	valid := options(nil)
	for _, c := range []struct {
		want   string
		change func(*cache.Options[string, string])
	}{
		{"TTL is negative", func(o *cache.Options[string, string]) { o.TTL = -time.Second }},
		{"MaxAge is less than TTL", func(o *cache.Options[string, string]) { o.MaxAge = ttl - 1 }},
		{"StaleWhileRevalidate is negative", func(o *cache.Options[string, string]) { o.StaleWhileRevalidate = -1 }},
		{"StaleIfError is negative", func(o *cache.Options[string, string]) { o.StaleIfError = -1 }},
		{"StalePause is negative", func(o *cache.Options[string, string]) { o.StalePause = -1 }},
		{"StalePause needs StaleIfError, StaleWhileRevalidate or", func(o *cache.Options[string, string]) { o.StalePause = 1 }},
		{"EarlyRevalidation is not", func(o *cache.Options[string, string]) { o.EarlyRevalidation = -0.1 }},
		{"EarlyRevalidation is not", func(o *cache.Options[string, string]) { o.EarlyRevalidation = math.NaN() }},
		{"EarlyRevalidation is not", func(o *cache.Options[string, string]) { o.EarlyRevalidation = math.Inf(1) }},
		{"LoadSoftTimeout needs StaleIfError", func(o *cache.Options[string, string]) { o.LoadSoftTimeout = 1 }},
		{"LoadSoftTimeout is not less than", func(o *cache.Options[string, string]) {
			o.StaleIfError, o.LoadSoftTimeout = 1, cache.DefaultLoadTimeout
		}},
		{"Name has a character", func(o *cache.Options[string, string]) { o.Name = "a:b" }},
		{"Name has a character", func(o *cache.Options[string, string]) { o.Name = "é" }},
		{"Jitter is not", func(o *cache.Options[string, string]) { o.Jitter = math.NaN() }},
		{"Jitter is not", func(o *cache.Options[string, string]) { o.Jitter = -0.1 }},
		{"Remote is a nil *cachetest.Remote", func(o *cache.Options[string, string]) { o.Remote = (*cachetest.Remote)(nil) }},
	} {
		o := valid
		c.change(&o)
		if _, err := cache.New(o); err == nil || !strings.HasPrefix(err.Error(), "cache: "+c.want) {
			t.Errorf("New: %v; want %q", err, c.want)
		}
	}
}

func TestKeysOfStringAndIntegerTypesNeedNoKey(t *testing.T) {
	type id uint16
	type name string
	wantKeyed(t, id(7), "7")
	wantKeyed(t, name("a b"), "a b")
	wantKeyed(t, int8(-7), "-7")
	wantKeyed(t, uint64(math.MaxUint64), "18446744073709551615")
	wantKeyed(t, int64(math.MinInt64), "-9223372036854775808")
}

// wantKeyed shows what the remote key of key ends with by reading it in a trace.
func wantKeyed[K comparable](t *testing.T, key K, want string) {
	t.Helper()
	var got string
	c := newCache(t, cache.Options[K, int]{Name: "test", TTL: ttl, Trace: &cache.Trace{
		Load: func(_ ctx, i cache.LoadInfo) { got = i.Key },
	}})
	if _, err := c.GetOrLoad(t.Context(), key, func(ctx, K) (int, error) { return 1, nil }); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("the key of %v is %q, want %q", key, got, want)
	}
}

func TestNilLoadPanics(t *testing.T) {
	c := newCache(t, options(nil))
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "no function to load with") {
			t.Errorf("the panic is %q", p)
		}
	}()
	_, _ = c.GetOrLoad(t.Context(), "k", nil)
}
