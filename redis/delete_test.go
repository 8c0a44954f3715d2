package redis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/internal/redistest"
)

// Redis denies one key. The others of its round trip are deleted, and so are those of
// the round trips before and after.
func TestDeleteGoesOnAfterAnErrorReply(t *testing.T) {
	t.Parallel()
	const n = 1001 // two round trips of 500, and one key
	server := redistest.Start(t)
	client := server.Client()
	err := client.Do(t.Context(), "acl", "setuser", "app", "on", ">secret", "resetkeys", "~nearside:mine:*", "+@all").Err()
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, "redis://app:secret@"+server.Addr(), patient)
	for _, denied := range []int{0, 250, 700, n - 1} {
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprint("mine:", i)
		}
		keys[denied] = "other"
		if _, err := client.Pipelined(t.Context(), func(pipe goredis.Pipeliner) error {
			for _, k := range keys {
				pipe.Set(t.Context(), "nearside:"+k, "v", 0)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Invalidate(t.Context(), keys, 0); err == nil || !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("key %d is denied: Delete: %v, want NOPERM", denied, err)
		}
		if left := client.Keys(t.Context(), "*").Val(); !slices.Equal(left, []string{"nearside:other"}) {
			t.Errorf("key %d is denied: %d keys are left, want it alone", denied, len(left))
		}
	}
}
