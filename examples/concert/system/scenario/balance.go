package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/load"
)

// quiet is a load, and nothing else.
func quiet(context.Context, *World, *Side) (string, error) { return "", nil }

// killOne kills an instance, and starts another in its place.
func killOne(ctx context.Context, w *World, s *Side) (string, error) {
	victim := s.Instances()[0]
	w.event("%s is killed (SIGKILL)", victim.Name)
	victim.Kill()
	pause(ctx, 300*time.Millisecond)
	if err := s.Forget(victim); err != nil {
		return "", err
	}
	next, err := s.Add(ctx, victim.Version, 1)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s killed, %s in its place", victim.Name, next[0].Name), nil
}

// hangFor is for how long an instance hangs, and briefHangFor in a short run. Both are more than
// balancer.AnswerWithin, so that the load balancer sends requests of the instance to another one.
const hangFor, briefHangFor = time.Second, 800 * time.Millisecond

// answers is nil if users who come at once are all answered. What hangs at that time goes on only
// after it, so a load balancer that waits for a hung instance fails the row.
func (s *Side) answers(ctx context.Context) error {
	errs := make([]error, 20)
	var users sync.WaitGroup
	for k := range errs {
		users.Go(func() {
			errs[k] = s.Users.Get(ctx, fmt.Sprintf("/api/concerts/%d", load.Concerts-k), s.Users.Token(), nil)
		})
	}
	users.Wait()
	return cmp.Or(errs...)
}

// hangOne stops an instance for a while.
func hangOne(ctx context.Context, w *World, s *Side) (string, error) {
	long := hangFor
	if w.brief {
		long = briefHangFor
	}
	victim := s.Instances()[1]
	w.event("%s is stopped, and answers nothing (SIGSTOP)", victim.Name)
	if err := victim.Hang(); err != nil {
		return "", err
	}
	stopped, over := time.Now(), time.After(long)
	answered := s.answers(ctx)
	wait(ctx, over)
	w.event("%s goes on (SIGCONT)", victim.Name)
	return fmt.Sprintf("%s stopped for %s", victim.Name, short(time.Since(stopped))), errors.Join(answered, victim.Resume())
}
