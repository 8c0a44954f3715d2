package peers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

const (
	outageCalls = redis.DefaultMaxFailures + 6
	overhead    = 10 * time.Millisecond
)

func refused(t *testing.T, p peers.Peer) cell {
	return outage(t, p, (*redistest.Server).Kill, (*redistest.Server).Restart)
}

func silent(t *testing.T, p peers.Peer) cell {
	return outage(t, p, (*redistest.Server).Pause, (*redistest.Server).Resume)
}

// outage breaks the Redis of a warm instance, and then makes calls one after the other,
// each for a key of its own. A load takes no time.
func outage(t *testing.T, p peers.Peer, begin, end func(*redistest.Server)) cell {
	var c cell
	took, failed := without(t, p, outageCalls, begin, end, func(n int, cost, stalled time.Duration) {
		most := overhead
		if n <= redis.DefaultMaxFailures {
			most += redis.DefaultTimeout
		}
		c.want(cost <= most+stalled, "call %d took %v, and the machine stalled for %v", n+1, cost, stalled)
	})
	c.want(failed == 0, "%d of %d calls failed", failed, outageCalls)
	t.Log(took)
	first, later := short(took[0]), short(median(took[redis.DefaultMaxFailures+1:]))
	c.text = first
	if later != first {
		c.text += ", later " + later
	}
	if failed > 0 {
		c.text += fmt.Sprintf("; %d of %d fail", failed, outageCalls)
	}
	return c
}

// without makes calls of a warm instance whose Redis begin has broken. It returns how long each
// took, which it also hands to each.
func without(t *testing.T, p peers.Peer, calls int, begin, end func(*redistest.Server), each func(n int, cost, stalled time.Duration)) (took []time.Duration, failed int) {
	t.Helper()
	server, src := redistest.Start(t), &source{}
	i := open(t, p, server, peers.Settings{Load: src.load})
	mustGet(t, i, "warm")
	settle()
	begin(server)
	defer end(server) // so that Close does not wait for Redis
	for n := range calls {
		start := time.Now()
		_, err := get(i, fmt.Sprintf("cold-%d", n))
		cost := time.Since(start)
		took = append(took, cost)
		stalled, _ := stalls.Since(start)
		if err != nil {
			failed++
		}
		each(n, cost, stalled)
	}
	return took, failed
}
