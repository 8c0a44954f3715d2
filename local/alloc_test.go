package local_test

import (
	"testing"
	"time"

	"github.com/nearside-go/nearside/local"
)

// A hit may start a run of ticks, which allocates its timers; averaged over the
// runs that is nothing.
func TestLookupHitDoesNotAllocate(t *testing.T) {
	type key struct {
		tenant int
		id     string
	}
	k := key{7, "user"}
	s := newStore[key, [4]int](t, local.Options{})
	s.Add(k, [4]int{1, 2, 3, 4}, 1, local.Lifetime{TTL: time.Hour, Slides: true, RenewEvery: time.Minute})
	near := newStore[string, int](t, local.Options{})
	lookups := map[string]func() bool{
		"Lookup": func() bool { _, _, ok := s.Lookup(k); return ok },
		"Get":    func() bool { _, ok := s.Get(k); return ok },
		"a miss": func() bool { _, ok := near.Get("absent"); return !ok },
		"an entry near its end": func() bool {
			_, ok := near.Get("k")
			return ok
		},
	}
	for name, lookup := range lookups {
		t.Run(name, func(t *testing.T) {
			// Judged by the machine's clock on each read, which also renews it.
			near.Add("k", 1, 1, local.Lifetime{TTL: 200 * time.Millisecond, Slides: true})
			ok := true
			allocs := testing.AllocsPerRun(2000, func() { ok = lookup() && ok })
			if allocs != 0 {
				t.Errorf("%v allocations", allocs)
			}
			if !ok {
				t.Error("the lookup went the other way")
			}
		})
	}
}
