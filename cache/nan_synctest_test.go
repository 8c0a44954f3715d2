package cache_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// place is a struct that does not equal itself if a field is a NaN.
type place struct{ lat, lon float64 }

// TestKeysThatDoNotEqualThemselvesAreNotKept: a NaN is loaded for each call and leaves
// nothing behind, in either kind of cache.
func TestKeysThatDoNotEqualThemselvesAreNotKept(t *testing.T) {
	tryNaN(t, "float64", math.NaN(), 1)
	tryNaN(t, "struct", place{math.NaN(), 1}, place{1, 1})
	tryNaN[any](t, "interface", math.NaN(), 1)
}

func tryNaN[K comparable](t *testing.T, name string, key, plain K) {
	for _, remote := range []bool{false, true} {
		t.Run(fmt.Sprintf("%s, remote %v", name, remote), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				o := cache.Options[K, string]{
					Name: "test", TTL: ttl, NotFoundTTL: ttl, HoldOff: time.Second,
					Key:  func(k K) string { return fmt.Sprint(k) },
					Tags: func(K, string) []string { return []string{"t"} },
				}
				if remote {
					o.Remote = s.Remote()
				}
				c := newCache(t, o)
				time.Sleep(time.Second)
				loads := 0
				for i := range 100 {
					want := fmt.Sprint(i)
					if v, err := c.GetOrLoad(t.Context(), key, func(ctx, K) (string, error) { loads++; return want, nil }); v != want || err != nil {
						t.Fatalf("GetOrLoad: %q, %v", v, err)
					}
					if _, err := c.GetOrLoad(t.Context(), key, func(ctx, K) (string, error) { loads++; return "", cache.ErrNotFound }); err != cache.ErrNotFound {
						t.Fatalf("GetOrLoad of nothing: %v", err)
					}
					if v, err := c.Get(t.Context(), key); err != cache.ErrMiss {
						t.Fatalf("Get: %q, %v", v, err)
					}
					ran := false
					for what, err := range map[string]error{
						"Set":        c.Set(t.Context(), key, want),
						"Invalidate": c.Invalidate(t.Context(), key, key),
						"Mutate":     c.Mutate(t.Context(), []K{key}, func(ctx) error { ran = true; return nil }),
					} {
						if err != nil {
							t.Fatalf("%s: %v", what, err)
						}
					}
					if !ran {
						t.Fatal("the write of Mutate did not run")
					}
				}
				synctest.Wait()
				if st := c.Stats(); loads != 200 || st.LocalEntries != 0 || st.Background != 0 || st.Unconfirmed != 0 || s.Len() != 0 {
					t.Errorf("%d loads, %d records, stats %+v", loads, s.Len(), st)
				}
				if r, ok := o.Remote.(*cachetest.Remote); ok {
					for _, op := range []string{"get", "lease", "seize", "delete", "guard", "append"} {
						if n := r.Calls(op); n != 0 {
							t.Errorf("%d commands %s", n, op)
						}
					}
				}
				if err := c.Invalidate(t.Context(), key, plain); err != nil {
					t.Error(err)
				}
				if r, ok := o.Remote.(*cachetest.Remote); ok && r.Calls("delete") != 1 {
					t.Error("a key beside is not invalidated")
				}
			})
		})
	}
}
