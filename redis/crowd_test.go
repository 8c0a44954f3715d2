package redis_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// Redis is well, and its link is slow, so that most of many leases would wait for a
// connection for longer than the budget. The breaker stays closed, and invalidations find a
// connection.
func TestWaitsForAConnectionAreNoFailures(t *testing.T) {
	for with, store := range makers {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			const callers, budget, late = 1000, 2 * time.Second, 200 * time.Millisecond
			link := lineTo(t, redistest.Start(t))
			s := store(t, link.Addr(), redis.Options{Timeout: budget, LeaseTTL: time.Minute})
			for i := range 2 { // a connection for each kind of command
				if err := s.Invalidate(t.Context(), []string{fmt.Sprint("k", i)}, 0); err != nil {
					t.Fatal(err)
				}
			}
			link.Delay(late / 2) // each way
			var tooLate atomic.Int64
			var leases, writer sync.WaitGroup
			over := make(chan struct{})
			for i := range callers {
				leases.Go(func() {
					if _, _, err := s.Lease(t.Context(), fmt.Sprint("c:0:", i), time.Minute, nil); err != nil {
						tooLate.Add(1)
					}
				})
			}
			writer.Go(func() {
				for n := 0; ; n++ {
					if err := s.Invalidate(t.Context(), []string{"c:0:k"}, 0); err != nil {
						t.Errorf("Invalidate %d: %v", n, err)
					}
					select {
					case <-over:
						return
					default:
					}
				}
			})
			leases.Wait()
			close(over)
			writer.Wait()
			if n := s.Stats().BreakerOpened; n != 0 {
				t.Errorf("the breaker opened %d times", n)
			}
			if n := tooLate.Load(); n < callers/2 {
				t.Errorf("%d of %d leases were too late: they did not wait for connections", n, callers)
			}
		})
	}
}
