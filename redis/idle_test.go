package redis_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
)

// idle waits until nothing is under way that no caller waits for: fills, touches and
// recordings of tags. Before that another instance may miss what was loaded, Stats may
// lack a fill, and a command may still be sent.
func idle[C interface{ Stats() cache.Stats }](t *testing.T, caches ...C) {
	t.Helper()
	for _, c := range caches {
		redistest.Eventually(t, soon, "nothing runs in the background of the cache", func() bool { return c.Stats().Background == 0 })
	}
}

// joined waits until n callers wait for flights, who have the test's context. No count
// tells of them, so it looks for their goroutines, by that context, and for none that runs.
func joined(t *testing.T, n int) {
	t.Helper()
	context := fmt.Sprintf("%p}", t.Context())
	redistest.Eventually(t, soon, "all callers wait for a flight", func() bool {
		waiting := 0
		for _, stack := range strings.Split(stacks(), "\n\n") {
			state, _, _ := strings.Cut(stack, "\n")
			if strings.Contains(stack, context) && strings.Contains(stack, "/loader.(*Group[...]).Do(") && !strings.Contains(state, "run") {
				waiting++
			}
		}
		return waiting == n
	})
}

// stacks are those of all goroutines.
func stacks() string {
	for b := make([]byte, 1<<20); ; b = make([]byte, 2*len(b)) {
		if n := runtime.Stack(b, true); n < len(b) {
			return string(b[:n])
		}
	}
}
