package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// send carries out a command within the budget, unless the breaker is open, and reports the
// outcome to the breaker. A command that ignores its context is abandoned at the end of the
// budget. So a command returns its result, and writes to nothing that the caller reads.
func send[T any](ctx context.Context, b *breaker, command func(context.Context) (T, error)) (T, error) {
	var zero T
	bounded, cancel := context.WithTimeout(ctx, b.s.opts.Timeout)
	defer cancel()
	deadline, ok := ctx.Deadline()
	hurried := ok && time.Until(deadline) < b.s.opts.Timeout/4*3
	if !b.s.owned {
		b.s.steady(bounded)
	}
	if !b.allows() {
		return zero, remote.ErrUnavailable
	}
	var reply T
	var err error
	if b.s.owned {
		reply, err = command(bounded)
	} else {
		under := b.s.reads.sent.Load().ctx
		defer context.AfterFunc(under, cancel)()
		reply, err = abandonable(bounded, command)
		if errors.Is(err, context.Canceled) && ctx.Err() == nil && under.Err() != nil {
			err = context.Cause(under)
		}
	}
	if err != nil && err != errNoChange && ended(ctx) && context.Cause(ctx) != remote.ErrBudget {
		return zero, ctx.Err() // the caller's context ended: no failure of Redis
	}
	late := timedOut(err)
	if late {
		err = fmt.Errorf("redis: no answer in time: %w", context.DeadlineExceeded)
	}
	err = unquote(err)
	b.s.noteRefusal(err)
	// A command that shares a budget with others may have got only a rest of it. Its timeout
	// says nothing about Redis.
	if !late || !hurried {
		b.learn(err)
	}
	return reply, err
}

// ended reports whether ctx has ended. A connection's deadline, which is taken from ctx,
// can pass a moment before the timer of ctx fires; ended waits for the timer.
func ended(ctx context.Context) bool {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second): // a context that does not end at its deadline
		}
	}
	return ctx.Err() != nil
}

// abandonable runs command on a goroutine of its own. If ctx ends first, abandonable
// returns the error of ctx, and command is left behind.
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
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, goredis.ErrPoolTimeout) ||
		(errors.As(err, &netErr) && netErr.Timeout())
}
