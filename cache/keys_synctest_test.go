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

type (
	pairKey struct{ Tenant, User int }
	name    string
	small   int8
)

// keyed is a test of the way from a name in the log back to a key, for one type of
// keys.
func keyed[K comparable](t *testing.T, kind string, format func(K) string, keys ...K) {
	open := func(t *testing.T, s *cachetest.Server) (*cache.Cache[K, string], *cachetest.Remote) {
		r := s.Remote()
		return newCache(t, cache.Options[K, string]{Name: "test", TTL: ttl, Jitter: exact, Remote: r, Key: format}), r
	}
	v := func(ctx, K) (string, error) { return "v", nil }
	t.Run(kind+" of a copy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := cachetest.NewServer()
			a, _ := open(t, s)
			b, remote := open(t, s)
			for _, k := range keys {
				_, _ = b.GetOrLoad(t.Context(), k, v)
			}
			for _, k := range keys {
				if err := a.Invalidate(t.Context(), k); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if _, err := b.Get(t.Context(), k); err != cache.ErrMiss {
					t.Errorf("%v is still there: %v", k, err)
				}
			}
			gets := remote.Calls("get")
			if _, _ = b.Get(t.Context(), keys[0]); remote.Calls("get") != gets+1 || b.Stats().LocalEntries != 0 {
				t.Errorf("stats: %+v", b.Stats())
			}
		})
	})
	t.Run(kind+" of a flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := cachetest.NewServer()
			a, _ := open(t, s)
			b, remote := open(t, s)
			remote.Inject(on("lease", cachetest.Fault{Err: errDown})) // or it would be fenced
			read, finish := make(chan struct{}), make(chan struct{})
			got := call(t, func() (string, error) {
				return b.GetOrLoad(t.Context(), keys[0], func(ctx, K) (string, error) {
					close(read)
					<-finish
					return "old", nil
				})
			})
			<-read
			if err := a.Invalidate(t.Context(), keys[0]); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			close(finish)
			<-got
			synctest.Wait()
			if _, err := b.Get(t.Context(), keys[0]); err != cache.ErrMiss {
				t.Errorf("the flight was stored: %v", err)
			}
		})
	})
}

func TestNamesLeadBackToKeys(t *testing.T) {
	keyed(t, "string", nil, "k", "", "a:b", "k\x00")
	keyed(t, "named string", nil, name("k"), "1")
	keyed(t, "int", nil, -7, 0, math.MaxInt)
	keyed(t, "small int", nil, small(-128), 127)
	keyed(t, "uint", nil, uint64(1<<64-1), 0)
	keyed(t, "struct", func(k pairKey) string { return fmt.Sprint(k.Tenant, ":", k.User) }, pairKey{1, 2}, pairKey{2, 1})
	keyed(t, "mapped string", func(k string) string { return k + "!" }, "k", "", "k!")
	keyed(t, "mapped int", func(k int) string { return fmt.Sprint(-k) }, 1, -1)
}

// More keys than names remembers before it looks for those that it can forget: what is
// in the local tier is not forgotten.
func TestKeysThatAreHeldAreNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := cachetest.NewServer(), (*instance)(nil)
		o := options(nil)
		o.Key = func(k string) string { return "mapped " + k }
		a = newInstanceWith(t, s, o)
		b := newInstanceWith(t, s, o)
		wantLoad(t, b, "held", constant("v"), "v")
		for i := range 10_000 {
			wantMiss(t, b, fmt.Sprint(i))
		}
		invalidate(t, a, "held")
		synctest.Wait()
		wantMiss(t, b, "held")
	})
}

// HoldOff counts on every instance, whether it held the key or not: here its reads of
// the remote tier fail, so that no tombstone tells.
func TestHoldOffOfAKeyThatIsNotHeld(t *testing.T) {
	for kind, format := range map[string]func(string) string{
		"string": nil, "mapped": func(k string) string { return "mapped " + k },
	} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				o := options(nil)
				o.Key, o.HoldOff = format, time.Second
				a, b := newInstanceWith(t, s, o), newInstanceWith(t, s, o)
				time.Sleep(2 * time.Second) // both have long been there
				invalidate(t, a, "k")
				synctest.Wait()
				b.remote.Inject(on("get", cachetest.Fault{Err: errDown}))
				wantLoad(t, b, "k", constant("of a replica"), "of a replica")
				time.Sleep(time.Second)
				wantLoad(t, b, "k", constant("new"), "new")
			})
		})
	}
}
