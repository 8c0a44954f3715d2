package peers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
)

const (
	instances = 8
	callers   = 100 // of each instance
	loadTime  = 50 * time.Millisecond
	calm      = 20 * time.Millisecond // the longest stall of a round that counts
	rounds    = 5
	maxRounds = 25
)

// stampede lets all callers of all instances ask for a key that is in no tier.
func stampede(t *testing.T, p peers.Peer) cell {
	loads, waits := stampedes(t, p)
	least, most := slices.Min(loads), slices.Max(loads)
	var c cell
	c.want(most == 1, "%d loads", most)
	c.text = fmt.Sprintf("%d (%s, %s)", most, short(median(waits)), short(slices.Max(waits)))
	if least < most {
		c.text = fmt.Sprintf("%d to %s", least, c.text)
	}
	return c
}

// stampedes returns the number of loads in each of some rounds, and the waits of all callers.
func stampedes(t *testing.T, p peers.Peer) (loads []int64, waits []time.Duration) {
	t.Helper()
	server := redistest.Start(t)
	src := &source{delay: func(ctx context.Context) error { return pause(ctx, loadTime) }}
	var fleet []peers.Instance
	for range instances {
		i := open(t, p, server, peers.Settings{Load: src.load})
		mustGet(t, i, "warm")
		fleet = append(fleet, i)
	}
	for n := range maxRounds {
		settle()
		start, before := time.Now(), src.loads.Load()
		took := rush(t, fleet, fmt.Sprintf("cold-%d", n))
		if _, worst := stalls.Since(start); worst > calm {
			continue // Redis may not have answered within a budget
		}
		loads = append(loads, src.loads.Load()-before)
		waits = append(waits, took...)
		if len(loads) == rounds {
			break
		}
	}
	if len(loads) == 0 {
		t.Fatalf("the machine stalled for more than %v in each of %d rounds", calm, maxRounds)
	}
	return loads, waits
}

// rush returns how long each caller waited.
func rush(t *testing.T, fleet []peers.Instance, key string) []time.Duration {
	t.Helper()
	took, errs := make([]time.Duration, len(fleet)*callers), make([]error, len(fleet)*callers)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for n := range took {
		all.Go(func() {
			<-begin
			start := time.Now()
			_, errs[n] = get(fleet[n%len(fleet)], key)
			took[n] = time.Since(start)
		})
	}
	close(begin)
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("get: %v", err)
	}
	return took
}
