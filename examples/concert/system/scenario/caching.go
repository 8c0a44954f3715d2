package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/fleet"
	"github.com/nearside-go/nearside/examples/concert/system/load"
	"github.com/nearside-go/nearside/examples/concert/system/servers"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

const (
	// seenWithin bounds the time until an instance shows a change that another one has made, on a
	// busy machine. A millisecond or two is usual.
	seenWithin = 2 * time.Second

	// usuallySeenWithin bounds the median of the times until all instances show a change.
	usuallySeenWithin = 250 * time.Millisecond
)

// prices changes prices on one instance after the other, and measures how long it takes until
// all of them show the new one.
func prices(ctx context.Context, w *World, s *Side) (string, error) {
	concert := load.Watched[0]
	var took []time.Duration
	for n := range 12 {
		all := s.Instances()
		for _, i := range all { // so that the local tier has the old price
			if err := ask(ctx, i, fmt.Sprintf("/api/concerts/%d", concert), nil); err != nil {
				return "", err
			}
		}
		cents := s.nextPrice()
		if err := setPrice(ctx, all[n%len(all)], concert, cents); err != nil {
			return "", err
		}
		begun := time.Now()
		for _, i := range all {
			if _, err := showsPrice(ctx, i, concert, cents, seenWithin); err != nil {
				return "", err
			}
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	median, longest := load.Percentile(took, 50), load.Percentile(took, 100)
	if median > usuallySeenWithin {
		return "", fmt.Errorf("a change is seen on all instances after %v (median), and not within %v: %v", median, usuallySeenWithin, took)
	}
	return fmt.Sprintf("seen on all instances after %s (median), %s (longest)", short(median), short(longest)), nil
}

// killRedis kills Redis. A replica takes over, or an empty Redis starts in its place.
func killRedis(ctx context.Context, w *World, s *Side) (string, error) {
	w.event("SIGKILL to Redis")
	killed := time.Now()
	if err := w.Redis.Kill(); err != nil {
		return "", err
	}
	if r, ok := w.Redis.(servers.Replicated); ok {
		return s.failover(ctx, w, r, killed)
	}
	return s.without(ctx, 600*time.Millisecond, func() error {
		w.event("Redis starts again, with nothing in it")
		return w.Redis.Start()
	})
}

// failover is the time until the replica has taken over, in which all instances have to stay
// ready, and the return of the old primary as a replica.
func (s *Side) failover(ctx context.Context, w *World, r servers.Replicated, killed time.Time) (string, error) {
	var promoted time.Duration
	err := s.stayReady(ctx, func() error {
		answered := make(chan error, 1)
		go func() { answered <- s.answersFromDatabase(ctx) }()
		err := r.AwaitPromotion()
		promoted = time.Since(killed)
		return errors.Join(err, <-answered)
	})
	var used time.Duration
	if err == nil {
		w.event("the replica of Redis is the primary")
		_, err = s.redisIsBack(ctx)
		used = time.Since(killed)
	}
	w.event("the old primary of Redis starts as a replica") // also after an error: later scenarios kill one again
	if err = errors.Join(err, r.Start()); err != nil {
		return "", err
	}
	return fmt.Sprintf("instances stayed ready; the replica promoted after %s, and used after %s", short(promoted), short(used)), nil
}

// hangRedis stops Redis for a while.
func hangRedis(ctx context.Context, w *World, s *Side) (string, error) {
	w.event("Redis is stopped, and answers nothing (SIGSTOP)")
	if err := w.Redis.Hang(); err != nil {
		return "", err
	}
	return s.without(ctx, 800*time.Millisecond, func() error {
		w.event("Redis goes on (SIGCONT)")
		return w.Redis.Resume()
	})
}

// without is the time without Redis, in which all instances have to stay ready, and the return
// of Redis.
func (s *Side) without(ctx context.Context, lasts time.Duration, restore func() error) (string, error) {
	ready := s.stayReady(ctx, func() error {
		over := time.After(lasts)
		err := s.answersFromDatabase(ctx)
		wait(ctx, over)
		return err
	})
	if err := errors.Join(restore(), ready); err != nil {
		return "", err
	}
	took, err := s.redisIsBack(ctx)
	return fmt.Sprintf("instances stayed ready; Redis used again %s after its return", short(took)), err
}

// answersFromDatabase is nil if users are answered while Redis is away: instances have done without
// it, and loaded values from the database.
func (s *Side) answersFromDatabase(ctx context.Context) error {
	loads, unanswered, err := s.loads(ctx)
	if err != nil {
		return err
	}
	if err := s.answers(ctx); err != nil {
		return err
	}
	nowLoads, nowUnanswered, err := s.loads(ctx)
	if err == nil && (nowLoads == loads || nowUnanswered == unanswered) {
		err = fmt.Errorf("without Redis there were %d loads, and %d commands that Redis did not answer, want some", nowLoads-loads, nowUnanswered-unanswered)
	}
	return err
}

// loads returns how many values the instances have loaded, and how many of their commands Redis has
// not answered.
func (s *Side) loads(ctx context.Context) (loads, unanswered uint64, err error) {
	for _, i := range s.Instances() {
		now, err := stats(ctx, i)
		if err != nil {
			return 0, 0, err
		}
		loads += now.Loads
		unanswered += now.Unanswered
	}
	return loads, unanswered, nil
}

// stayReady returns the error of f, or another one if an instance was not ready while f ran.
func (s *Side) stayReady(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	var notReady error
	for {
		select {
		case err := <-done:
			return errors.Join(err, notReady)
		case <-time.After(100 * time.Millisecond):
			if notReady == nil {
				notReady = s.allReady(ctx)
			}
		}
	}
}

// backWithin is how soon an instance has to use Redis again, on a busy machine.
const backWithin = 30 * time.Second

// redisIsBack returns once each instance uses Redis again, and has had no invalidation left that
// Redis had not confirmed. It returns how long that took.
func (s *Side) redisIsBack(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	for _, i := range s.Instances() {
		if err := usesRedis(ctx, i); err != nil {
			return 0, err
		}
	}
	return time.Since(begun), nil
}

func usesRedis(ctx context.Context, i *fleet.Instance) error {
	_, err := until(ctx, backWithin, i.Name+" uses Redis", func() (bool, error) {
		now, err := stats(ctx, i)
		return !now.RedisAway && now.Following && now.Unconfirmed == 0, err
	})
	return err
}

// newcomer sends a crowd to an instance that has just started, and puts the instance behind the load
// balancer then. Another new instance has read all of it before, so that Redis has it: the others may
// have copies from the time when Redis was away.
func newcomer(ctx context.Context, w *World, s *Side) (string, error) {
	const crowd, each = 25, 8
	started, err := s.StartReady(ctx, s.Instances()[0].Version, 2)
	if err != nil {
		return "", err
	}
	first, cold := started[0], started[1]
	defer first.Kill()
	defer cold.Kill()
	if s == w.Cached { // an instance that is ready need not be connected to Redis yet
		if err := errors.Join(usesRedis(ctx, first), usesRedis(ctx, cold)); err != nil {
			return "", err
		}
	}
	for id := 1; id <= agreeOn; id++ {
		if err := ask(ctx, first, fmt.Sprintf("/api/concerts/%d", id), nil); err != nil {
			return "", err
		}
	}
	w.event("%d users at once on %s, which has just started", crowd, cold.Name)
	var users sync.WaitGroup
	errs := make(chan error, crowd)
	for n := range crowd {
		users.Go(func() {
			for k := range each {
				if err := ask(ctx, cold, fmt.Sprintf("/api/concerts/%d", 1+(n+k)%agreeOn), nil); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	users.Wait()
	select {
	case err := <-errs:
		return "", err
	default:
	}
	now, err := stats(ctx, cold)
	if err == nil && s == w.Cached {
		err = fromRedis(now)
	}
	if err != nil {
		return "", err
	}
	w.event("%s joins the others, and leaves them", cold.Name)
	if _, err := s.Switch(append(s.Instances(), cold)); err != nil {
		return "", err
	}
	pause(ctx, 200*time.Millisecond)
	err = s.End(cold)
	return fmt.Sprintf("its first %d requests caused %d loads, and %d reads from Redis", crowd*each, now.Loads, now.Remote), err
}

// fromRedis is nil if an instance that has read the pages of agreeOn concerts had most of the values
// from Redis. It loads those whose prices users raise at that time, and, on a busy machine, those that
// Redis did not answer in time.
func fromRedis(now service.Stats) error {
	const values = 2*agreeOn + 1 // each concert, its notices, and the categories
	if now.Loads > values/3+now.Unanswered || now.Remote+now.Unanswered < values/3 {
		return fmt.Errorf("a cold instance had %d loads for %d values, and %d reads from Redis, which left %d commands unanswered", now.Loads, values, now.Remote, now.Unanswered)
	}
	return nil
}
