package redis_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// The reader of the log opens the breaker of a Redis that is gone before any command has
// failed, and has it closed as soon as it reads again, however long the probes wait.
func TestTheReaderOfTheLogOpensAndClosesTheBreaker(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := store(t, server.Addr(), redis.Options{ProbeInterval: never, Timeout: patient.Timeout})
			cacheOn(t, s, cache.Options[string, string]{})
			follows(t, s)
			server.Kill()
			redistest.Eventually(t, soon, "the breaker is open", func() bool { return s.Stats().BreakerOpen })
			if _, err := s.Get(t.Context(), "c:0:k", false); err != cache.ErrUnavailable {
				t.Errorf("Get: %v, want %v", err, cache.ErrUnavailable)
			}
			server.Restart()
			redistest.Eventually(t, soon, "the breaker is closed", func() bool { return !s.Stats().BreakerOpen })
			if _, err := s.Get(t.Context(), "c:0:k", false); err != nil {
				t.Errorf("Get: %v", err)
			}
			if n := s.Stats().BreakerOpened; n != 1 {
				t.Errorf("the breaker opened %d times, want once", n)
			}
		})
	}
}

// A storm of resets is one outage.
func TestAStormOfResetsIsTwoLines(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	i := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	const storm = 5 // sessions of the log
	start := time.Now()
	stormy := func() bool { return time.Since(start) > 2*time.Second && i.store.Stats().LogSessions >= storm }
	for ; !stormy() && time.Since(start) < soon; <-time.After(50 * time.Millisecond) {
		if err := server.Client().ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		_, _ = i.GetOrLoad(t.Context(), "k", yields[string]("v"))
	}
	redistest.Eventually(t, soon+5*time.Second, "the outage is over", func() bool { return i.seen.lines("level=INFO") > 0 })
	// An outage ends when all has worked for a second. On a busy machine the resets may be that far apart.
	if warned, told := i.seen.lines("level=WARN"), i.seen.lines("level=INFO"); (warned != 1 || told != 1) && calm(t, start, time.Second/2) {
		t.Errorf("%d warnings and %d lines at level Info, want one each", warned, told)
	}
	if n := i.store.Stats().LogSessions; n < storm {
		t.Errorf("%d sessions: there was no storm", n)
	}
}

// A dial of an owned client that hangs, here in the handshake of TLS, ends with the Store.
func TestCloseEndsDialsThatHang(t *testing.T) {
	s := open(t, "rediss://"+redistest.Blackhole(t), redis.Options{})
	c := cacheOn(t, s, cache.Options[string, string]{})
	for range 3 {
		_, _ = c.GetOrLoad(context.Background(), "k", yields[string]("v"))
	}
	dialing := func() int { return strings.Count(stacks(), "tls.(*Dialer).DialContext(") }
	if dialing() == 0 {
		t.Error("nothing is being dialed")
	}
	_ = c.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	redistest.Eventually(t, time.Second, "no dial is left", func() bool { return dialing() == 0 })
}
