package peers_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
)

const others = 20

// cancelled lets other callers join the load of a first caller, whose context is then
// cancelled. The loader heeds its context, and would return soon after.
func cancelled(t *testing.T, p peers.Peer) cell {
	server := redistest.Start(t)
	began, release := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(began) })
	src := &source{delay: func(ctx context.Context) error {
		once()
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	i := open(t, p, server, peers.Settings{Load: src.load})
	settle()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { _, _ = i.Get(ctx, "k") })
	<-began
	var failed atomic.Int64
	for range others {
		all.Go(func() {
			if _, err := get(i, "k"); err != nil {
				failed.Add(1)
			}
		})
	}
	settle() // the others have joined
	cancel()
	settle()
	close(release)
	all.Wait()

	var c cell
	loads := src.loads.Load()
	c.want(failed.Load() == 0, "%d of %d other callers fail", failed.Load(), others)
	c.want(loads == 1, "%d loads", loads)
	switch f := failed.Load(); {
	case f == 0 && loads == 1:
		c.text = "get the value"
	case f == 0:
		c.text = fmt.Sprintf("get the value, from %d loads", loads)
	case f == others:
		c.text = "fail"
	default:
		c.text = fmt.Sprintf("%d of %d fail", f, others)
	}
	return c
}
