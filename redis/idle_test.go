package redis_test

import (
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
