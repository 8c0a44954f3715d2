package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// TestAnInvalidationThatFailedOnceIsMadeAgain: after an outage the first reads load, later
// ones are hits of Redis, and nothing from before the write is served.
func TestAnInvalidationThatFailedOnceIsMadeAgain(t *testing.T) {
	t.Parallel()
	const keys = 20
	for name, declare := range map[string]func(*instance) error{
		"InvalidateTags": func(i *instance) error { return i.InvalidateTags(context.Background(), "t") },
		"InvalidateAll":  func(i *instance) error { return i.InvalidateAll(context.Background()) },
		"Invalidate": func(i *instance) error {
			var all []string
			for k := range keys {
				all = append(all, fmt.Sprint(k))
			}
			return i.Invalidate(context.Background(), all...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := redis.Options{Prefix: prefix(t), Timeout: time.Second, MaxFailures: 1000}
			o := cache.Options[string, string]{Tags: tagsOf, Local: local.Options{MaxEntries: 1}}
			a, b := enter(t, server.Addr(), s, o), enter(t, server.Addr(), s, o)
			for k := range keys {
				wantLoad(t, b.Cache, fmt.Sprint(k), "old|t")
			}
			server.Pause()
			if err := declare(a); err == nil {
				t.Error("no error from a server that hangs")
			}
			server.Resume()
			redistest.Eventually(t, soon, "reads are hits of Redis", func() bool {
				loads := 0
				for k := range keys {
					v, err := a.GetOrLoad(t.Context(), fmt.Sprint(k), func(context.Context, string) (string, error) { loads++; return "new|t", nil })
					if v != "new|t" || err != nil {
						t.Errorf("GetOrLoad: %q, %v", v, err)
					}
				}
				return loads == 0
			})
			if st := a.Stats(); st.Unconfirmed != 0 || st.AllUnconfirmed {
				t.Errorf("stats: %+v", st)
			}
		})
	}
}
