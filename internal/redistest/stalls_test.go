package redistest_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
)

// Not parallel: it keeps all processors of the process busy. A loop without calls is
// preempted after 10 ms, so that the control has to wait for at least one of them.
func TestStallsAreNoticed(t *testing.T) {
	stalls := redistest.WatchStalls()
	var end atomic.Bool
	defer end.Store(true)
	start := time.Now()
	for range 8 * runtime.GOMAXPROCS(0) {
		go func() {
			for !end.Load() {
			}
		}()
	}
	redistest.Eventually(t, soon, "the control oversleeps", func() bool {
		all, worst := stalls.Since(start)
		return worst > 5*time.Millisecond && all >= worst
	})
	if all, worst := stalls.Since(time.Now().Add(time.Hour)); all != 0 || worst != 0 {
		t.Errorf("the process will have stalled for %v, for %v at worst", all, worst)
	}
}
