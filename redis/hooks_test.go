package redis_test

import (
	"context"
	"sync"
	"testing"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// Functions of a Trace that panic end no work in the background, and are logged once.
func TestTraceFunctionsThatPanic(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var called sync.Map
	var log lines
	boom := func(what string) {
		called.Store(what, true)
		panic("a bug in " + what)
	}
	s := open(t, server.URL(), redis.Options{Prefix: prefix(t), Logger: log.logger(), Trace: &redis.Trace{
		Breaker: func(context.Context, redis.BreakerInfo) { boom("Breaker") },
		Log:     func(context.Context, redis.LogInfo) { boom("Log") },
		LogRead: func(context.Context, redis.LogReadInfo) { boom("LogRead") },
	}})
	c := cacheOn(t, s, cache.Options[string, string]{})
	other := join(t, server, redis.Options{}, cache.Options[string, string]{})
	follows(t, s)
	server.Pause()
	redistest.Eventually(t, soon, "the breaker is open", func() bool {
		_, _ = c.Get(t.Context(), "k")
		return s.Stats().BreakerOpen
	})
	server.Resume()
	serves(t, c)
	redistest.Eventually(t, soon, "entries are read", func() bool {
		_ = other.Invalidate(t.Context(), "k")
		return c.Stats().InvalidationsReceived > 0
	})
	for _, what := range []string{"Breaker", "Log", "LogRead"} {
		redistest.Eventually(t, soon, what+" is called", func() bool { _, ok := called.Load(what); return ok })
	}
	if all := log.of("panicked"); len(all) != 1 {
		t.Errorf("%d lines: %v", len(all), all)
	}
}
