package redis_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// never is a probe interval that no test lives to see.
const never = time.Hour

func TestTheBreakerOpensAfterMaxFailuresInARow(t *testing.T) {
	for how, address := range neverServed {
		for with, store := range makersToo {
			t.Run(how+"/"+with, func(t *testing.T) {
				t.Parallel()
				s := store(t, address(t), redis.Options{MaxFailures: 3, ProbeInterval: never})
				for i := range 3 {
					if s.Stats().BreakerOpen {
						t.Errorf("the breaker is open after %d failures", i)
					}
					if _, err := s.Get(t.Context(), "k", false); err == nil || errors.Is(err, cache.ErrUnavailable) {
						t.Errorf("Get %d: %v, want the failure of a command that was sent", i, err)
					}
				}
				if !s.Stats().BreakerOpen {
					t.Error("the breaker is closed after 3 failures")
				}
			})
		}
	}
}

func TestAnOpenBreakerSendsNothing(t *testing.T) {
	s, sent := neverAnswered(t, redis.Options{MaxFailures: 3, ProbeInterval: never})
	for range 3 {
		_, _ = s.Get(t.Context(), "k", false)
	}
	before := len(sent.times())
	calls := []func() error{
		func() error { _, err := s.Get(t.Context(), "k", false); return err },
		func() error { _, _, err := s.Lease(t.Context(), "k", time.Second, nil); return err },
		func() error { _, err := s.Seize(t.Context(), "k", time.Second); return err },
		func() error { _, err := s.Touch(t.Context(), "k"); return err },
		func() error { _, err := s.Wait(t.Context(), "k"); return err },
		func() error { return s.Invalidate(t.Context(), []string{"k"}, 0) },
	}
	for i, call := range calls {
		if err := call(); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("call %d: %v, want ErrUnavailable", i, err)
		}
	}
	want := redis.Stats{BreakerOpen: true, BreakerOpened: 1, BreakerRefused: uint64(len(calls))}
	if got := s.Stats(); got != want {
		t.Errorf("Stats = %+v, want %+v", got, want)
	}
	if after := len(sent.times()); before == 0 || after != before {
		t.Errorf("%d commands were sent before the breaker was open, and %d after; want some, and none", before, after-before)
	}
}

func TestAPausedRedisIsSentOnlyTheCommandsThatOpenedTheBreaker(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := suffer(t, store(t, server.Addr(), redis.Options{ProbeInterval: never, Timeout: sendable}))
			s.warm(t)
			server.ResetCommands()
			server.Pause()
			for i := range 100 {
				s.wantLoaded(t, fmt.Sprint(i), "v")
			}
			server.Resume()
			caughtUp(t, server)
			// The breaker forgives timeouts that a busy process notices late, for a second: two of them.
			const most = redis.DefaultMaxFailures + 2
			if n := commands(server)["pttl"]; n > most { // a probe sends a GET, too
				t.Errorf("100 reads sent %d PTTLs, want at most %d", n, most)
			}
			if n := s.Stats().RemoteUnavailable; n < 100-most {
				t.Errorf("%d of 100 reads left Redis alone", n)
			}
		})
	}
}

func TestMissesAndCallersWhoLeaveAreNoFailures(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := store(t, server.Addr(), redis.Options{MaxFailures: 3, ProbeInterval: never, Timeout: patient.Timeout})
			for i := range 10 {
				if rec, err := s.Get(t.Context(), fmt.Sprint(i), false); err != nil || rec.State != remote.StateAbsent {
					t.Errorf("Get of an absent key: %v, %v", rec.State, err)
				}
			}
			server.Pause()
			for range 10 {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := s.Get(ctx, "k", false); err != context.Canceled {
					t.Errorf("Get for a caller who has left: %v, want %v", err, context.Canceled)
				}
			}
			if s.Stats().BreakerOpen {
				t.Error("the breaker is open")
			}
		})
	}
}

// The deadline of a connection can pass a moment before the context's own timer
// does, and both are the caller's.
func TestCallersDeadlinesAreNoFailures(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := store(t, server.Addr(), redis.Options{MaxFailures: 1, ProbeInterval: never, Timeout: patient.Timeout})
			_, _ = s.Get(t.Context(), "k", false)
			server.Pause()
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
				if _, err := s.Get(ctx, "k", false); err != context.DeadlineExceeded {
					t.Errorf("Get for a caller with 5 ms: %v, want %v", err, context.DeadlineExceeded)
				}
				cancel()
			}
			if s.Stats().BreakerOpen {
				t.Error("the breaker is open")
			}
		})
	}
}

func TestAnAnswerStartsTheCountOfFailuresAnew(t *testing.T) {
	server := redistest.Start(t)
	// A Redis that is well answers in that time, so that no other command fails.
	s := opened(t, server.Addr(), redis.Options{MaxFailures: 3, ProbeInterval: never, Timeout: 500 * time.Millisecond})
	for range 4 {
		redistest.Eventually(t, 5*time.Second, "Redis answers", func() bool {
			_, err := s.Get(t.Context(), "k", false)
			return err == nil || s.Stats().BreakerOpen
		})
		server.Pause()
		for range 2 {
			if _, err := s.Get(t.Context(), "k", false); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Get: %v, want a timeout", err)
			}
		}
		server.Resume()
	}
	if s.Stats().BreakerOpened != 0 {
		t.Error("the breaker opened, though never 3 commands failed in a row")
	}
}

// A Redis that answers GET at once and nothing that writes, as during a failover
// or behind a client that goes on trying a replica: the breaker has to see it,
// though every other command succeeds.
func TestARedisThatHoldsBackWritesCostsReadsNothingLater(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := suffer(t, store(t, server.Addr(), redis.Options{}))
			s.wantLoaded(t, "scripts and a connection", "v")
			if err := server.Client().Do(t.Context(), "client", "pause", 60_000, "write").Err(); err != nil {
				t.Fatal(err)
			}
			took, bare := readMany(t, s, "k", 60)
			judge(t, with, took, bare, 10*time.Millisecond)
		})
	}
}

func TestAReplicaCostsReadsNothingLater(t *testing.T) {
	replica := redistest.StartReplica(t, redistest.Start(t))
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			s := suffer(t, store(t, replica.Addr(), redis.Options{}))
			took, bare := readMany(t, s, with, 60)
			judge(t, with, took, bare, 10*time.Millisecond)
		})
	}
}

// CLUSTERDOWN, unlike a PING, says that Redis serves nothing.
func TestAClusterThatIsDownDoesNotCloseTheBreaker(t *testing.T) {
	server := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
	s := opened(t, server.Addr(), redis.Options{ProbeInterval: 5 * time.Millisecond})
	for range redis.DefaultMaxFailures {
		_, _ = s.Get(t.Context(), "k", false)
	}
	for range 50 {
		if !s.Stats().BreakerOpen {
			t.Fatal("the breaker is closed")
		}
		<-time.After(2 * time.Millisecond)
	}
}

// The lease is granted, and its answer comes too late for whoever asked.
func TestALeaseWhoseAnswerWasLateDoesNotStand(t *testing.T) {
	t.Parallel()
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := store(t, server.Addr(), redis.Options{Timeout: sendable})
			n := 0
			redistest.Eventually(t, soon, "a lease is granted and released", func() bool {
				n++
				l, _, err := s.Lease(t.Context(), fmt.Sprint("scripts and a connection ", n), time.Second, nil)
				if err == nil {
					_, err = l.Release(t.Context())
				}
				return err == nil
			})
			server.ResetCommands()
			server.Pause()
			if _, _, err := s.Lease(t.Context(), "k", time.Second, nil); err == nil {
				t.Fatal("a lease from a Redis that hangs")
			}
			<-time.After(4 * s.Budget())
			server.Resume()
			redistest.Eventually(t, soon, "no lease stands", func() bool {
				return commands(server)["set"] > 0 && server.Client().Exists(t.Context(), "nearside:k").Val() == 0
			})
			nothingLapsed(t, server)
		})
	}
}
