package redis_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

func TestBatchesOfScriptsThatAreLostSucceed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	checkScriptsThatAreLost(t, server.Client(), []*redistest.Server{server}, func(holdOff time.Duration) *instance {
		return enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{HoldOff: holdOff, Tags: tagsOf})
	})
}

// checkScriptsThatAreLost makes the nodes forget all scripts before whatever sends scripts
// in batches.
func checkScriptsThatAreLost(t *testing.T, client goredis.Cmdable, nodes []*redistest.Server, enters func(holdOff time.Duration) *instance) {
	forget := func() {
		t.Helper()
		for _, node := range nodes {
			if err := node.Client().ScriptFlush(t.Context()).Err(); err != nil {
				t.Error(err)
			}
		}
	}
	a, b := enters(time.Minute), enters(time.Minute)
	kinds := func(keys []string) (kinds string) {
		for _, key := range keys {
			kinds += client.GetRange(t.Context(), record(t, key), 0, 0).Val()
		}
		return kinds
	}
	keys := []string{"1", "2", "3", "4", "5", "6"}
	for i := range keys { // one key, and several
		some := keys[:i+1]
		tombstones := "TTTTTT"[:i+1]
		forget()
		invalidate(t, a, some...)
		if got := kinds(some); got != tombstones {
			t.Errorf("after Invalidate with HoldOff of %d keys there are %q", len(some), got)
		}
		forget()
		err := b.Mutate(t.Context(), some, func(context.Context) error {
			if got := kinds(some); got != tombstones {
				t.Errorf("in a Mutate of %d keys there are %q", len(some), got)
			}
			forget()
			return nil
		})
		if err != nil {
			t.Error("Mutate:", err)
		}
	}
	tags := []string{"t", "u", "v", "w", "x"}
	for i := range tags {
		some := tags[:i+1]
		forget()
		invalidateTags(t, a, some...)
		forget()
		invalidateAll(t, b)
		for _, tag := range slices.Concat(some, []string{""}) {
			if got := client.GetRange(t.Context(), a.tagKey(tag), 0, 1).Val(); got != "P\x02" {
				t.Errorf("after an invalidation of %d tags the record of %q begins with %q", len(some), tag, got)
			}
		}
	}
	// The positions of the tags of a value that is filled.
	c := enters(0)
	for i := range 20 {
		tags = append(tags, fmt.Sprint("t", i))
	}
	forget()
	wantLoad(t, c.Cache, "k", "v|"+strings.Join(tags, ","))
	hasRecordsOn(t, client, c, tags...)
	invalidate(t, c, "other") // so that who starts later has to ask
	wantGet(t, enters(0).Cache, "k", "v|"+strings.Join(tags, ","))
	for _, i := range []*instance{a, b, c} {
		if s := i.Stats(); s.RemoteErrors+s.RemoteTimeouts+s.RemoteUnavailable != 0 || s.Unconfirmed != 0 {
			t.Errorf("something failed: %+v", s)
		}
	}
}
