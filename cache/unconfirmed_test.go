package cache_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
)

// Were a key distrusted after its last drop, a flight in between would read the old
// value and keep it. Nothing can be held back there. But with many keys there is much
// time in between, and a reader who does nothing else finds it.
func TestFailedInvalidateLeavesReadsNoGap(t *testing.T) {
	_, a, b := pair(t)
	keys := make([]string, 5000)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	k := keys[0]
	for start := time.Now(); time.Since(start) < time.Second/2; {
		loadOutside(t, b, k, constant("old"), "old")
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		var reader sync.WaitGroup
		var over atomic.Bool
		reader.Go(func() {
			for !over.Load() {
				_, _ = a.Get(t.Context(), k)
			}
		})
		wantGet(t, a, k, "old")
		if err := a.Invalidate(t.Context(), keys...); err == nil {
			t.Error("Invalidate: no error")
		}
		over.Store(true)
		reader.Wait()
		wantMiss(t, a, k)
		a.remote.Inject(nil)
		invalidate(t, a, keys...)
		idleOutside(t, a) // an attempt to invalidate k again would delete what b loads next
		invalidate(t, b, k)
	}
}
