package cache_test

import (
	"testing"
	"testing/synctest"

	"github.com/nearside-go/nearside/cache/cachetest"
)

// An instance that does not know the positions of tags looks them up, once for each tag. The first
// look-up includes the position of the whole cache.
func TestTagLookupsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		a := newTagged(t, s)
		for _, key := range []string{"1", "2", "3"} {
			wantLoad(t, a, key, constant("v red"), "v red")
		}
		wantLoad(t, a, "4", constant("v blue"), "v blue")
		wantGet(t, newTagged(t, s), "1", "v red") // nothing was appended since it was loaded
		invalidate(t, a, "another")
		b := newTagged(t, s)
		for _, step := range []struct {
			key, value string
			lookups    uint64
		}{{"1", "v red", 1}, {"1", "v red", 1}, {"2", "v red", 1}, {"4", "v blue", 2}} {
			wantGet(t, b, step.key, step.value)
			if n := b.Stats().TagLookups; n != step.lookups || n != uint64(b.remote.Calls("tags")) {
				t.Errorf("%d look-ups after %s, want %d; the server had %d", n, step.key, step.lookups, b.remote.Calls("tags"))
			}
		}
		if n := a.Stats().TagLookups; n != 0 {
			t.Errorf("%d look-ups of the instance that has loaded the values", n)
		}
		invalidateTags(t, a, "red")
		synctest.Wait()
		wantMiss(t, b, "3") // which b knows
		if n := b.Stats().TagLookups; n != 2 {
			t.Errorf("%d look-ups, want 2", n)
		}
	})
}
