package redis_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// turnstile accepts connections, never answers, and notes when each one came.
type turnstile struct {
	net.Listener
	mu   sync.Mutex // guards came
	came []time.Time
}

func newTurnstile(t *testing.T) *turnstile {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &turnstile{Listener: l}
	var accepting sync.WaitGroup
	accepting.Go(s.accept)
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
	})
	return s
}

func (s *turnstile) accept() {
	for {
		conn, err := s.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		s.mu.Lock()
		s.came = append(s.came, time.Now())
		s.mu.Unlock()
	}
}

func (s *turnstile) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came[:len(s.came):len(s.came)]
}

// changes collects what a Store reports of its breaker.
type changes struct {
	mu   sync.Mutex // guards all below
	told []redis.BreakerInfo
	logs bytes.Buffer
}

func (c *changes) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logs.Write(b)
}

func (c *changes) all() ([]redis.BreakerInfo, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told, c.logs.String()
}

func TestAProbeInTheBackgroundClosesTheBreaker(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			const budget = 250 * time.Millisecond
			server, seen := redistest.Start(t), &changes{}
			s := store(t, server.Addr(), redis.Options{
				Timeout: budget, MaxFailures: 2, ProbeInterval: 10 * time.Millisecond,
				Logger: slog.New(slog.NewTextHandler(seen, nil)),
				Trace: &redis.Trace{Breaker: func(_ context.Context, info redis.BreakerInfo) {
					seen.mu.Lock()
					defer seen.mu.Unlock()
					seen.told = append(seen.told, info)
				}},
			})
			_, _ = s.Get(t.Context(), "k")
			server.Pause()
			for range 2 {
				_, _ = s.Get(t.Context(), "k")
			}
			// Probes are under way all the time now. Whoever waits for one waits
			// for the budget.
			for range 400 {
				start := time.Now()
				if _, err := s.Get(t.Context(), "k"); !errors.Is(err, cache.ErrUnavailable) {
					t.Fatalf("Get with an open breaker: %v, want ErrUnavailable", err)
				}
				within(t, start, budget-hiccup, "Get with an open breaker")
				<-time.After(time.Millisecond)
			}
			server.Resume()
			redistest.Eventually(t, 10*time.Second, "the change is told", func() bool {
				told, _ := seen.all()
				return len(told) == 2
			})
			if _, err := s.Get(t.Context(), "k"); err != nil {
				t.Errorf("Get once the breaker is closed: %v", err)
			}
			checkChanges(t, seen)
		})
	}
}

func checkChanges(t *testing.T, seen *changes) {
	t.Helper()
	redistest.Eventually(t, 10*time.Second, "a line tells that the outage is over", func() bool {
		_, logs := seen.all()
		return strings.Contains(logs, "level=INFO")
	})
	told, logs := seen.all()
	if !told[0].Open || !errors.Is(told[0].Err, context.DeadlineExceeded) {
		t.Errorf("first change: %+v, want open, with the timeout", told[0])
	}
	if told[1].Open || told[1].Err != nil {
		t.Errorf("second change: %+v, want closed", told[1])
	}
	if strings.Count(logs, "\n") != 2 || !strings.Contains(logs, "level=WARN") || !strings.Contains(logs, "level=INFO") {
		t.Errorf("the log is\n%s\nwant a line at warn and one at info", logs)
	}
}

func TestProbesThatFailComeLessOften(t *testing.T) {
	l := newTurnstile(t)
	const first = 8 * time.Millisecond
	s := opened(t, l.Addr().String(), redis.Options{MaxFailures: 1, ProbeInterval: first, Timeout: 5 * time.Millisecond})
	_ = s.Invalidate(t.Context(), []string{"k"}, 0)
	redistest.Eventually(t, 10*time.Second, "seven probes come", func() bool { return len(l.times()) >= 8 })
	came := l.times()
	wait := first
	for i := range 7 {
		// A connection is noted late on a busy machine, which may shorten the gap
		// that follows, hence a quarter of the wait where at least half is due.
		if gap := came[i+1].Sub(came[i]); gap < wait/4 {
			t.Errorf("probe %d came %v after the one before, want at least half of %v", i, gap, wait)
		}
		wait = min(2*wait, 10*first)
	}
}

func TestCloseWithAnOpenBreakerLeavesNoGoroutine(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			s := store(t, redistest.Refused(t), redis.Options{MaxFailures: 1, ProbeInterval: time.Millisecond})
			_, _ = s.Get(t.Context(), "k")
			redistest.Eventually(t, 5*time.Second, "a probe is under way", func() bool { return strings.Contains(stacks(), "(*breaker).heal") })
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			within(t, start, s.Budget()+hiccup, "Close")
			if all := stacks(); strings.Contains(all, "(*breaker).heal") {
				t.Errorf("a probe outlives Close:\n%s", all)
			}
			if !s.Stats().BreakerOpen {
				t.Error("the breaker of a closed Store is closed")
			}
		})
	}
}

// stacks are those of all goroutines.
func stacks() string {
	b := make([]byte, 1<<22)
	return string(b[:runtime.Stack(b, true)])
}
