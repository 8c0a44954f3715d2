package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/fleet"
	"github.com/nearside-go/nearside/examples/concert/system/load"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

const (
	// crashes is how often a process is killed after its commit, and briefCrashes in a short
	// run.
	crashes, briefCrashes = load.Unbooked, 6

	// diesWithin is for how long requests are sent until an instance has died of one.
	diesWithin = 30 * time.Second

	// together is how many of them run at a time.
	together = 6

	// soldWithin is how soon all instances have to show a seat whose seller has died. It is
	// less than the time for which a local copy is trusted, and much less than that of a
	// record in Redis, so it is the outbox that has to bring the news.
	soldWithin = 4 * time.Second
)

// crashAfterCommit kills processes between the commit of a booking and its invalidation.
func (w *World) crashAfterCommit(ctx context.Context, _ *World, s *Side) (string, error) {
	n := crashes
	if w.brief {
		n = briefCrashes
	}
	if w.round*n > load.Unbooked*load.Seats {
		return "not played: all seats that it books are sold", nil
	}
	w.event("%d processes die after the commit of a booking", n)
	var longest time.Duration
	var mu sync.Mutex // guards longest
	turns := make(chan struct{}, together)
	errs := make([]error, n)
	var all sync.WaitGroup
	for k := range n {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if ctx.Err() != nil {
				return
			}
			took, err := s.crashOnce(ctx, (w.round-1)*n+k)
			mu.Lock()
			defer mu.Unlock()
			longest, errs[k] = max(longest, took), err
		})
	}
	all.Wait()
	return fmt.Sprintf("%d processes killed; no stale seat later than %s", n, short(longest)), errors.Join(errs...)
}

// crashOnce books a seat on an instance that dies after the commit, and waits until the
// others show the seat as sold. It returns how long that took. Each number books another seat.
func (s *Side) crashOnce(ctx context.Context, number int) (time.Duration, error) {
	concert := int64(load.Concerts - number%load.Unbooked) // the users do not book these
	seats := fmt.Sprintf("/api/concerts/%d/seats", concert)
	victim, err := s.Start(ctx, s.Instances()[0].Version, func(c *service.Config) { c.Crash = service.CrashAfterCommit })
	if err != nil {
		return 0, err
	}
	defer victim.Kill()
	if err := victim.Ready(ctx); err != nil {
		return 0, err
	}
	others := s.Instances()
	for _, i := range others { // so that both tiers have the old seats
		if err := ask(ctx, i, seats, nil); err != nil {
			return 0, err
		}
	}
	seat := 1 + number/load.Unbooked
	name := fmt.Sprintf("crash-%d", number)
	body := map[string]any{"Concert": concert, "Seats": []int{seat}}
	var answer error
	_, err = until(ctx, diesWithin, victim.Name+" dies after its commit", func() (bool, error) {
		answer = call(ctx, victim, http.MethodPut, "/api/bookings/"+name, s.Users.Token(), body, nil)
		if answer == nil {
			return false, fmt.Errorf("%s has answered, and not died after its commit", victim.Name)
		}
		// Without an answer it dies now. One that has failed before its commit is asked again.
		return !victim.Alive() || gone(ctx, victim), nil
	})
	if err != nil {
		return 0, fmt.Errorf("%w; its last answer: %v", err, answer)
	}
	died := time.Now()
	for _, i := range others {
		_, err := until(ctx, soldWithin, fmt.Sprintf("%s shows the seat as sold", i.Name), func() (bool, error) {
			var hall service.Hall
			err := ask(ctx, i, seats, &hall)
			return slices.Contains(hall.Sold, seat), err
		})
		if err != nil {
			return 0, err
		}
	}
	took := time.Since(died)
	// The user has had no answer, and asks again: the booking is there, and is not made twice.
	return took, s.Users.Book(ctx, s.Users.Token(), name, concert, []int{seat})
}

// gone reports whether an instance ends soon.
func gone(ctx context.Context, i *fleet.Instance) bool {
	select {
	case <-i.Done():
		return true
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
	}
	return false
}
