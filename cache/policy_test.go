package cache_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/local"
)

// TestLocalPolicyChoosesWhatAScanDisplaces: with TwoQueue a scan does not displace a key that
// was loaded again soon after it had been evicted, or invalidated.
func TestLocalPolicyChoosesWhatAScanDisplaces(t *testing.T) {
	const room, evicted, invalidated = 100, -1, -2
	load := func(_ context.Context, key int) (int, error) { return key, nil }
	for policy, kept := range map[local.Policy]bool{local.LRU: false, local.TwoQueue: true} {
		c, err := cache.New(cache.Options[int, int]{
			Name: "numbers", TTL: time.Hour, Local: local.Options{MaxEntries: room, Policy: policy},
		})
		if err != nil {
			t.Fatal(err)
		}
		next := 0
		read := func(keys ...int) {
			for _, key := range keys {
				if got, err := c.GetOrLoad(t.Context(), key, load); got != key || err != nil {
					t.Fatalf("GetOrLoad(%d) = %d, %v", key, got, err)
				}
			}
		}
		scan := func() {
			for range room {
				read(next)
				next++
			}
		}
		read(evicted)
		scan()
		read(evicted, invalidated)
		if err := c.Invalidate(t.Context(), invalidated); err != nil {
			t.Fatal(err)
		}
		read(invalidated)
		scan()
		scan()
		for _, key := range []int{evicted, invalidated} {
			if _, err := c.Get(t.Context(), key); (err == nil) != kept || err != nil && !errors.Is(err, cache.ErrMiss) {
				t.Errorf("policy %d, key %d: %v", policy, key, err)
			}
		}
		if got := c.Stats().LocalEntries; got != room {
			t.Errorf("policy %d: %d local entries, want %d", policy, got, room)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
