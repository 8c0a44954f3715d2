package redis_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// lines is a handler of a Logger that keeps what it receives.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

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
	s := open(t, server.URL(), redis.Options{Prefix: prefix(t), Logger: slog.New(slog.NewTextHandler(&log, nil)), Trace: &redis.Trace{
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
	if n := strings.Count(log.String(), "panicked"); n != 1 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}
