package peers_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
)

const (
	briefTTL    = 4 * time.Second
	briefMaxAge = 8 * time.Second
	watched     = 11 * time.Second
	readEvery   = 250 * time.Millisecond
	newEvery    = 4 // reads, of which the last is that of a new instance
)

// renewed reads a key again and again, on an instance that has a local copy and on new
// instances, which have none. It looks at the TTL of the key in Redis, and at when the
// source is read for the second time.
func renewed(t *testing.T, p peers.Peer) cell {
	server, src := redistest.Start(t), &source{}
	s := peers.Settings{TTL: briefTTL, MaxAge: briefMaxAge, Load: src.load}
	i := open(t, p, server, s)
	start := time.Now()
	mustGet(t, i, "renewed")
	settle()

	renewals, left := 0, remaining(t, server)
	var reloaded time.Duration
	for n := 1; time.Since(start) < watched && reloaded == 0; n++ {
		<-time.After(readEvery)
		mustGet(t, i, "renewed")
		if n%newEvery == 0 {
			readOnce(t, p, server, s)
		}
		if src.loads.Load() > 1 {
			reloaded = time.Since(start)
			break
		}
		now := remaining(t, server)
		if now > left {
			renewals++
		}
		left = now
	}

	stalled, _ := stalls.Since(start)
	var c cell
	c.want(renewals > 0, "no read renewed the TTL")
	c.want(reloaded > briefTTL && reloaded <= briefMaxAge+newEvery*readEvery+stalled,
		"with a TTL of %v and a maximum age of %v the second load came after %v", briefTTL, briefMaxAge, reloaded)
	switch {
	case renewals == 0:
		c.text = "no"
	case reloaded == 0:
		c.text = "yes, without an end"
	default:
		c.text = "yes"
	}
	t.Logf("%d renewals, second load after %v", renewals, reloaded)
	return c
}

// readOnce reads the key on an instance of its own.
func readOnce(t *testing.T, p peers.Peer, server *redistest.Server, s peers.Settings) {
	t.Helper()
	i, err := p.Open(server.URL(), s)
	if err != nil {
		t.Fatal(err)
	}
	mustGet(t, i, "renewed")
	if err := i.Close(); err != nil {
		t.Fatal(fmt.Errorf("close: %w", err))
	}
}

// remaining returns the longest TTL of the keys of Redis that have the cache's key in their name.
func remaining(t *testing.T, server *redistest.Server) time.Duration {
	t.Helper()
	ctx, client := context.Background(), server.Client()
	keys, err := client.Keys(ctx, "*renewed*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var longest time.Duration
	for _, key := range keys {
		left, err := client.PTTL(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, left)
	}
	return longest
}
