package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// expecting reads keys that Redis does not have, from first to last, each with its lease.
func expecting(t *testing.T, s *redis.Store, first, last int) (leases []remote.Lease, wait func()) {
	t.Helper()
	leases = make([]remote.Lease, last-first)
	var reading sync.WaitGroup
	for i := range leases {
		reading.Go(func() {
			l, rec, err := s.GetOrLease(t.Context(), fmt.Sprint("c:0:", first+i), time.Minute, false)
			if leases[i] = l; err != nil || l == nil {
				t.Errorf("GetOrLease of %d: %v, %v, %v", first+i, l, rec.State, err)
			}
		})
	}
	return leases, reading.Wait
}

// Reads that share a round trip take their leases in it, and the fills that follow share round
// trips, too.
func TestMissesShareRoundTrips(t *testing.T) {
	t.Parallel()
	const lone, shared = 4, 30
	s, g := joining(t, patient, 1)
	_, first := expecting(t, s, 100, 100+lone)
	redistest.Eventually(t, soon, "four reads are sent", func() bool { return len(g.trips()) == lone })
	leases, second := expecting(t, s, 200, 200+shared)
	redistest.Eventually(t, soon, "the others wait", func() bool { return redis.Queued(s) == shared })
	close(g.gate)
	first()
	second()
	got := g.trips()
	slices.Sort(got)
	if want := []int{4, 4, 4, 4, 4 * shared}; !slices.Equal(got, want) {
		t.Errorf("round trips with %v commands, want %v", got, want)
	}
	release := redis.HoldEnds(s, "c:0:200")
	var filling sync.WaitGroup
	for i, l := range leases {
		filling.Go(func() {
			fill := remote.Fill{Payload: fmt.Append(nil, 200+i), TTL: time.Minute, MaxAge: time.Minute}
			if held, err := l.Fill(context.WithoutCancel(t.Context()), fill); err != nil || !held {
				t.Errorf("Fill of %d: %v, %v", 200+i, held, err)
			}
		})
	}
	redistest.Eventually(t, soon, "the fills wait", func() bool { return redis.QueuedEnds(s, "c:0:200") == shared })
	release()
	filling.Wait()
	if got := g.scripts(); !slices.Equal(got, []int{shared}) {
		t.Errorf("pipelines of fills with %v commands, want one with %d", got, shared)
	}
	for i := range leases {
		want(t, s, 200+i)
	}
}

// With SeparateTrips neither reads nor fills wait for others.
func TestSeparateTrips(t *testing.T) {
	t.Parallel()
	const keys = 8 // of which four would wait
	s, g := joining(t, redis.Options{Timeout: patient.Timeout, SeparateTrips: true}, 1)
	leases, read := expecting(t, s, 100, 100+keys)
	redistest.Eventually(t, soon, "all reads are sent", func() bool { return len(g.trips()) == keys })
	close(g.gate)
	read()
	if got, want := g.trips(), slices.Repeat([]int{4}, keys); !slices.Equal(got, want) {
		t.Errorf("round trips with %v commands, want %v", got, want)
	}
	defer redis.HoldEnds(s, "c:0:100")()
	start := time.Now()
	for i, l := range leases {
		fill := remote.Fill{Payload: fmt.Append(nil, 100+i), TTL: time.Minute, MaxAge: time.Minute}
		if held, err := l.Fill(context.WithoutCancel(t.Context()), fill); err != nil || !held {
			t.Errorf("Fill of %d: %v, %v", 100+i, held, err)
		}
		want(t, s, 100+i)
	}
	within(t, start, patient.Timeout/2, "fills that nothing holds up") // after that a held one is sent alone
}

// A fill that its caller may end is not joined to others, nor is a large one.
func TestAFillThatIsNotJoinedIsSentAtOnce(t *testing.T) {
	t.Parallel()
	s, g := joining(t, patient, 1)
	close(g.gate)
	leases, wait := expecting(t, s, 100, 102)
	wait()
	defer redis.HoldEnds(s, "c:0:100")()
	small := remote.Fill{Payload: []byte("100"), TTL: time.Minute, MaxAge: time.Minute}
	large := remote.Fill{Payload: make([]byte, 16<<10+1), TTL: time.Minute, MaxAge: time.Minute}
	start := time.Now()
	if held, err := leases[0].Fill(t.Context(), small); err != nil || !held {
		t.Errorf("Fill with a context that may end: %v, %v", held, err)
	}
	if held, err := leases[1].Fill(context.WithoutCancel(t.Context()), large); err != nil || !held {
		t.Errorf("Fill of a large value: %v, %v", held, err)
	}
	within(t, start, patient.Timeout/2-time.Millisecond, "to be sent, and not to wait for others")
	want(t, s, 100)
}

// An end that others hold up for half of the budget is sent alone.
func TestAnEndThatWaitsTooLongIsSentAlone(t *testing.T) {
	t.Parallel()
	s, g := joining(t, patient, 1)
	close(g.gate)
	leases, wait := expecting(t, s, 100, 102)
	wait()
	defer redis.HoldEnds(s, "c:0:100")()
	ctx := context.WithoutCancel(t.Context())
	start := time.Now()
	var ending sync.WaitGroup
	ending.Go(func() {
		held, err := leases[0].Fill(ctx, remote.Fill{Payload: []byte("100"), TTL: time.Minute, MaxAge: time.Minute})
		if err != nil || !held {
			t.Errorf("Fill: %v, %v", held, err)
		}
	})
	ending.Go(func() {
		if held, err := leases[1].Release(ctx); err != nil || !held {
			t.Errorf("Release: %v, %v", held, err)
		}
	})
	ending.Wait()
	if took := time.Since(start); took < patient.Timeout/2 {
		t.Errorf("the ends were sent after %v, although others were under way", took)
	}
	want(t, s, 100)
}

// Ends that wait when the Store is closed return with an error.
func TestEndsThatWaitWhenTheStoreIsClosed(t *testing.T) {
	t.Parallel()
	const waiting = 100 // two round trips
	s, g := joining(t, redis.Options{Timeout: 4 * soon, LeaseTTL: 8 * soon}, 1)
	close(g.gate)
	leases, wait := expecting(t, s, 100, 100+waiting)
	wait()
	release := redis.HoldEnds(s, "c:0:100")
	errs := make(chan error, waiting)
	for _, l := range leases {
		go func() {
			_, err := l.Release(context.WithoutCancel(t.Context()))
			errs <- err
		}()
	}
	redistest.Eventually(t, soon, "the ends wait", func() bool { return redis.QueuedEnds(s, "c:0:100") == waiting })
	_ = s.Close()
	release()
	for range waiting {
		if err := <-errs; err == nil {
			t.Error("an end of a closed Store succeeded")
		}
	}
}

// The lease of a reader that left before the reply is given up.
func TestALeaseWhoseReaderHasLeftIsGivenUp(t *testing.T) {
	t.Parallel()
	s, g := joining(t, redis.Options{Timeout: patient.Timeout, LeaseTTL: 2 * soon}, 1)
	_, first := expecting(t, s, 100, 104)
	redistest.Eventually(t, soon, "four reads are sent", func() bool { return len(g.trips()) == 4 })
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, _, err := s.GetOrLease(ctx, "c:0:200", time.Minute, false)
		left <- err
	}()
	redistest.Eventually(t, soon, "one waits", func() bool { return redis.Queued(s) == 1 })
	// The four trips go on, and the one of the waiting read is held.
	hold := g.next()
	first()
	redistest.Eventually(t, soon, "the fifth read is sent", func() bool { return len(g.trips()) == 5 })
	if n := g.trips()[4]; n != 4 {
		t.Errorf("the fifth read has %d commands, want 4, for the lease too", n)
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the reader got %v", err)
	}
	close(hold)
	redistest.Eventually(t, soon, "the fifth read is over", func() bool { return g.over() == 5 })
	redistest.Eventually(t, soon, "the lease is gone", func() bool {
		rec, err := s.Get(t.Context(), "c:0:200", false)
		return err == nil && rec.State == remote.StateAbsent
	})
}
