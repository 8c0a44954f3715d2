package redis

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/nearside-go/nearside/cache"
)

// send carries out a command within the budget, unless the breaker is open, and
// tells the breaker how it went. A command that ignores its context is left
// behind at the end of the budget; hence it returns its result, and writes to
// nothing that the caller reads.
func send[T any](ctx context.Context, s *Store, command func(context.Context) (T, error)) (T, error) {
	var zero T
	if !s.breaker.allows() {
		return zero, cache.ErrUnavailable
	}
	bounded, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	var reply T
	var err error
	if s.owned {
		reply, err = command(bounded)
	} else {
		reply, err = abandonable(bounded, command)
	}
	if err != nil && ctx.Err() != nil {
		return zero, ctx.Err() // the caller's end, which says nothing about Redis
	}
	if timedOut(err) {
		err = fmt.Errorf("redis: no answer within %v: %w", s.opts.Timeout, context.DeadlineExceeded)
	}
	s.breaker.learn(err)
	return reply, err
}

func abandonable[T any](ctx context.Context, command func(context.Context) (T, error)) (T, error) {
	type result struct {
		reply T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		reply, err := command(ctx)
		done <- result{reply, err}
	}()
	select {
	case r := <-done:
		return r.reply, r.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

func timedOut(err error) bool {
	if err == nil {
		return false
	}
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &netErr) && netErr.Timeout())
}
