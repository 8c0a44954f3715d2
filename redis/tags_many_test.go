package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// longest notes how many commands the longest pipeline had.
type longest struct{ commands atomic.Int64 }

func (l *longest) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (l *longest) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (l *longest) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if n := int64(len(cmds)); n > l.commands.Load() {
			l.commands.Store(n)
		}
		return next(ctx, cmds)
	}
}

// tagNames are n names of tags of the caches of these tests.
func tagNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint("c::t", i))
	}
	return names
}

func TestInvalidateOfManyTagsGoesInBatches(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, seen := server.Client(), &longest{}
	client.AddHook(seen)
	a := enterWith(t, client, redis.Options{}, cache.Options[string, string]{Tags: tagsOf})
	b := tagged(t, server)
	const n = 3000
	hold(t, "k", "old|t2999", a, b)
	hold(t, "other", "v|none", a, b)
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprint("t", i)
	}
	invalidateTags(t, a, tags...)
	if got := seen.commands.Load(); got > 510 {
		t.Errorf("a pipeline has %d commands", got)
	}
	wantMiss(t, a.Cache, "k")
	missesSoon(t, b, "k")
	wantGet(t, b.Cache, "other", "v|none")
	wantMiss(t, tagged(t, server).Cache, "k")
	for i, tag := range []string{"t0", "t499", "t500", "t1500", "t2999"} {
		if got := server.Client().Get(t.Context(), a.tagKey(tag)).Val(); !recordedPosition.MatchString(got) {
			t.Errorf("%d: the record of %s is %q", i, tag, got)
		}
	}
	wantLoad(t, a.Cache, "k", "new|t2999")
	wantGet(t, b.Cache, "k", "new|t2999")
}

// The position that is returned is that of the last entry.
func TestInvalidateOfManyTagsReturnsTheLastPosition(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(), patient)
	at, err := s.InvalidateTags(t.Context(), tagNames(1001), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	last := server.Client().XRevRangeN(t.Context(), "nearside:log", "+", "-", 1).Val()
	if len(last) != 1 || last[0].ID != position(at) {
		t.Errorf("the position is %s, the last entry is %v", position(at), last)
	}
}

// Redis denies the record of one tag. Those of the round trips before and after are written.
func TestInvalidateOfTagsGoesOnAfterAnErrorReply(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	err := server.Client().Do(t.Context(), "acl", "setuser", "app", "on", ">secret", "resetkeys", "~nearside:c::*", "~nearside:log*", "+@all").Err()
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, "redis://app:secret@"+server.Addr(), patient)
	for _, denied := range []int{0, 250, 700, 1000} {
		server.Client().FlushAll(t.Context())
		names := tagNames(1001)
		names[denied] = "denied::t"
		if _, err := s.InvalidateTags(t.Context(), names, time.Hour); err == nil || !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("tag %d is denied: InvalidateTags: %v, want NOPERM", denied, err)
		}
		if n := len(server.Client().Keys(t.Context(), "nearside:c::*").Val()); n != 1000 {
			t.Errorf("tag %d is denied: %d tags are recorded, want 1000", denied, n)
		}
	}
}

// A Redis that does not answer is asked no more.
func TestInvalidateOfManyTagsTakesOneBudget(t *testing.T) {
	t.Parallel()
	o := redis.Options{Timeout: 200 * time.Millisecond, MaxFailures: 1000}
	s := open(t, "redis://"+redistest.Blackhole(t), o)
	start := time.Now()
	_, err := s.InvalidateTags(t.Context(), tagNames(5000), time.Hour)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("InvalidateTags: %v", err)
	}
	within(t, start, 2*o.Timeout, "InvalidateTags")
}
