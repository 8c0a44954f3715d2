package redis_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// sent notes when a client sends commands, but for the greeting of a connection. What
// go-redis does about connections that fail is its own affair.
type sent struct {
	mu   sync.Mutex // guards when
	when []time.Time
}

func (s *sent) note(cmds ...goredis.Cmder) {
	if name := cmds[0].Name(); name == "hello" || name == "client" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.when = append(s.when, time.Now())
}

func (s *sent) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.when[:len(s.when):len(s.when)]
}

// neverAnswered returns a Store whose commands get no answer, and are noted.
func neverAnswered(t *testing.T, o redis.Options) (*redis.Store, *sent) {
	t.Helper()
	client, all := goredis.NewClient(&goredis.Options{Addr: redistest.Blackhole(t)}), &sent{}
	client.AddHook(noted(all.note))
	return borrow(t, client, o), all
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
			const budget = time.Second
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
			_, _ = s.Get(t.Context(), "k", false)
			server.Pause()
			redistest.Eventually(t, soon, "the breaker opens", func() bool {
				_, _ = s.Get(t.Context(), "k", false)
				return s.Stats().BreakerOpen
			})
			// Probes are under way all the time now. Whoever waits for one waits
			// for the budget.
			for range 400 {
				start := time.Now()
				if _, err := s.Get(t.Context(), "k", false); !errors.Is(err, cache.ErrUnavailable) {
					t.Fatalf("Get with an open breaker: %v, want ErrUnavailable", err)
				}
				within(t, start, budget/2, "Get with an open breaker")
				<-time.After(time.Millisecond)
			}
			server.Resume()
			redistest.Eventually(t, soon, "the change is told", func() bool {
				told, _ := seen.all()
				return len(told) == 2
			})
			if _, err := s.Get(t.Context(), "k", false); err != nil {
				t.Errorf("Get once the breaker is closed: %v", err)
			}
			checkChanges(t, seen)
		})
	}
}

func checkChanges(t *testing.T, seen *changes) {
	t.Helper()
	redistest.Eventually(t, soon, "a line tells that the outage is over", func() bool {
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
	const first = 8 * time.Millisecond
	dialed := &sent{} // by the command, and by each probe
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Blackhole(t), Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialed.note(goredis.NewCmd(ctx, "dial"))
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	t.Cleanup(func() { _ = client.Close() })
	s := untested(t, client, redis.Options{MaxFailures: 1, ProbeInterval: first, Timeout: 5 * time.Millisecond})
	var start time.Time
	var before int
	// On a busy machine a command may not get its whole budget, and then does not count.
	redistest.Eventually(t, soon, "the breaker opens", func() bool {
		<-time.After(10 * s.Budget()) // for the connection of the command before
		start, before = time.Now(), len(dialed.times())
		_ = s.Invalidate(t.Context(), []string{"k"}, 0)
		return s.Stats().BreakerOpen || s.Stats().WriteBreakerOpen
	})
	redistest.Eventually(t, soon, "seven probes come", func() bool { return len(dialed.times()) >= before+8 })
	came := dialed.times()[before:]
	// At least half of each wait is due. A busy machine notes a command late, which
	// shortens the gap that follows: so the waits are added up.
	wait, due := first, time.Duration(0)
	for i := range 7 {
		due += wait / 2
		if after := came[i+1].Sub(start); after < due {
			t.Errorf("probe %d came after %v, want at least %v", i, after, due)
		}
		wait = min(2*wait, 10*first)
	}
}

func TestCloseWithAnOpenBreakerLeavesNoGoroutine(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			s := store(t, redistest.Refused(t), redis.Options{MaxFailures: 1, ProbeInterval: time.Millisecond})
			_, _ = s.Get(t.Context(), "k", false)
			redistest.Eventually(t, 5*time.Second, "a probe is under way", func() bool { return strings.Contains(stacks(), "(*breaker).probeUntilUp") })
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			within(t, start, s.Budget()+hiccup, "Close")
			if all := stacks(); strings.Contains(all, "(*breaker).probeUntilUp") {
				t.Errorf("a probe outlives Close:\n%s", all)
			}
			if !s.Stats().BreakerOpen {
				t.Error("the breaker of a closed Store is closed")
			}
		})
	}
}
