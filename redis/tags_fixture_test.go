package redis_test

import (
	"regexp"
	"strings"
	"testing"

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
