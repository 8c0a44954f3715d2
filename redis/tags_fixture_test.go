package redis_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// tagsOf are the tags of a value: only the value has them, behind a bar.
func tagsOf(_, value string) []string {
	_, tags, ok := strings.Cut(value, "|")
	if !ok {
		return nil
	}
	return strings.Split(tags, ",")
}

// tagged is an instance whose values have the tags that tagsOf finds.
func tagged(t *testing.T, server *redistest.Server) *instance {
	t.Helper()
	return enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{Tags: tagsOf})
}

// tagKey is the Redis key of a tag's record; "" is the whole cache.
func (i *instance) tagKey(tag string) string { return i.prefix + ":c::" + tag }

// recordedPosition is the record of a tag, but for one that says that nothing is right.
var recordedPosition = regexp.MustCompile("^P\x02[0-9]{1,16}-[0-9]+$")

// hasRecords waits until the positions of tags, and of the whole cache, are recorded,
// which is done in the background of a fill.
func hasRecords(t *testing.T, server *redistest.Server, i *instance, tags ...string) {
	t.Helper()
	hasRecordsOn(t, server.Client(), i, tags...)
}

func hasRecordsOn(t *testing.T, client goredis.Cmdable, i *instance, tags ...string) {
	t.Helper()
	for _, tag := range append(tags, "") {
		redistest.Eventually(t, soon, "the position of a tag is recorded", func() bool {
			return recordedPosition.MatchString(client.Get(t.Context(), i.tagKey(tag)).Val())
		})
	}
}

// recordsInTheEnd makes the instance fill keys with tags until their positions are
// recorded. One fill is not enough if a tag is invalidated meanwhile, or another instance
// is about it: but a later one is.
func recordsInTheEnd(t *testing.T, server *redistest.Server, i *instance, tags ...string) {
	t.Helper()
	n := 0
	redistest.Eventually(t, soon/2, "a fill records the positions of its tags", func() bool {
		n++
		wantLoad(t, i.Cache, fmt.Sprint(t.Name(), " fill ", n), "v|"+strings.Join(tags, ","))
		<-time.After(5 * time.Millisecond)
		return !slices.ContainsFunc(append(tags, ""), func(tag string) bool {
			return !recordedPosition.MatchString(server.Client().Get(t.Context(), i.tagKey(tag)).Val())
		})
	})
}

// invalidateTags wants an InvalidateTags to succeed.
func invalidateTags(t *testing.T, a *instance, tags ...string) {
	t.Helper()
	if err := a.InvalidateTags(t.Context(), tags...); err != nil {
		t.Error("InvalidateTags:", err)
	}
}

// invalidateAll wants an InvalidateAll to succeed.
func invalidateAll(t *testing.T, a *instance) {
	t.Helper()
	if err := a.InvalidateAll(t.Context()); err != nil {
		t.Error("InvalidateAll:", err)
	}
}
