package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
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
		b.s.steady(bounded, b.c)
	}
	if !b.allows() {
		return zero, remote.ErrUnavailable
	}
	var reply T
	var err error
	if b.s.owned {
		reply, err = again(bounded, b.c, command)
	} else {
		under := b.c.reads.sent.Load().ctx
		defer context.AfterFunc(under, cancel)()
		reply, err = abandonable(bounded, func(ctx context.Context) (T, error) { return again(ctx, b.c, command) })
		if errors.Is(err, context.Canceled) && ctx.Err() == nil && under.Err() != nil {
			err = context.Cause(under)
		}
	}
	if err != nil && err != errNoChange && ended(ctx) && context.Cause(ctx) != remote.ErrBudget {
		return zero, ctx.Err() // the caller's context ended: no failure of Redis
	}
	if (err == nil || err == errNoChange) && !b.s.single {
		b.s.circuits.known.Store(true)
	}
	late := timedOut(err)
	if late {
		deadline, _ := bounded.Deadline()
		err = b.s.lateness(deadline)
	}
	err = unquote(err)
	b.s.noteRefusal(err)
	// A command that shares a budget with others may have got only a rest of it. Its timeout
	// says nothing about Redis.
	if !late || !hurried {
		b.learn(err)
	}
	if err == errLate && !hurried && !b.c.isOpen() {
		b.c.warmLater()
	}
	return reply, err
}

// again sends a command, and again where its connection turns out to be dead: a server closes
// idle connections, and under TLS go-redis finds that out when it uses them. All idle
// connections may be dead. Every command of the Store can be repeated.
func again[T any](ctx context.Context, c *circuit, command func(context.Context) (T, error)) (T, error) {
	reply, err := command(ctx)
	if !isLost(err) {
		return reply, err
	}
	commands, pipelines := c.idle()
	for tries := commands + pipelines + 1; tries > 0 && isLost(err) && ctx.Err() == nil; tries-- {
		reply, err = command(ctx)
	}
	return reply, err
}

// isLost reports whether err means that a connection has ended. A dial that failed is another
// matter.
func isLost(err error) bool {
	if err == nil {
		return false
	}
	if failed, is := errors.AsType[*net.OpError](err); is && failed.Op == "dial" {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

var (
	errLate = fmt.Errorf("redis: no answer in time: %w", context.DeadlineExceeded)

	// errStarved is the error of a command whose timeout was noticed late: the process did
	// not run in time, as when it has too many goroutines or too little of a processor. The
	// answer of Redis may have come in time.
	errStarved = fmt.Errorf("redis: no answer was read in time: %w", context.DeadlineExceeded)
)

// lateness returns the error of a command that had no answer at its deadline. Where many
// goroutines wait to run, a timer may still end a command on time, while nobody has looked at
// the connections for a while. So lateness lets the other goroutines run first.
func (s *Store) lateness(deadline time.Time) error {
	runtime.Gosched()
	if time.Since(deadline) > s.opts.Timeout/10 {
		return errStarved
	}
	return errLate
}

// inTurn is send for commands that many callers may have at once: those of reads and of
// misses. It lets at most as many be sent at once as the client has connections for them, and
// the others wait in the order of their calls. So an invalidation finds a free connection, and
// a wait for a connection, which says nothing about Redis, is told apart from a wait for Redis.
// The wait is a part of the budget.
func inTurn[T any](ctx context.Context, b *breaker, command func(context.Context) (T, error)) (T, error) {
	select {
	case b.places <- struct{}{}:
	default:
		bounded, cancel := context.WithTimeoutCause(ctx, b.s.opts.Timeout, remote.ErrBudget)
		defer cancel()
		select {
		case b.places <- struct{}{}: // the first to wait is the first to get a place
		case <-bounded.Done():
			var zero T
			if err := ctx.Err(); err != nil && context.Cause(ctx) != remote.ErrBudget {
				return zero, err
			}
			return zero, errNoPlace
		}
		ctx = bounded
	}
	defer func() { <-b.places }()
	return send(ctx, b, command)
}

var errNoPlace = fmt.Errorf("redis: no connection is free in time: %w", context.DeadlineExceeded)

// placesOf returns how many commands of reads and of misses may be sent at once to a server,
// with pools of these sizes. Reads are pipelines: they have the connections for pipelines, and
// some of the others. At least a quarter of the others is left for invalidations.
func placesOf(connections, pipelines int) (reads, misses int) {
	switch {
	case pipelines < 0: // pipelines have no connections of their own
		return max(1, connections/2), max(1, connections/4)
	case pipelines == 0:
		pipelines = goredis.DefaultPipelinePoolSize
	}
	return pipelines + connections/4, max(1, connections/2)
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
