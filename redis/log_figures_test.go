package redis_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// readings are what a Store reported to Trace.LogRead.
type readings struct {
	mu  sync.Mutex // guards all below
	all []redis.LogReadInfo
}

func (r *readings) note(_ context.Context, i redis.LogReadInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, i)
}

// sum returns how many entries were read, how deep the log was at last, and the longest lag.
func (r *readings) sum() (entries int, depth int64, lag time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range r.all {
		entries, depth, lag = entries+i.Entries, i.Depth, max(lag, i.Lag)
	}
	return entries, depth, lag
}

// The lag is that of the oldest entry that has not come back, and not of the newest. The
// depth is known of a log that is never idle, too.
func TestLagAndDepthOfTheLog(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	var read readings
	client := clientThrough(t, server, link)
	store := untested(t, client, redis.Options{Prefix: prefix(t), Timeout: patient.Timeout, LogTimeout: time.Minute, Trace: &redis.Trace{LogRead: read.note}})
	c := cacheOn(t, store, cache.Options[string, string]{})
	followed(t, c)
	const n = 10
	link.Freeze()
	began := time.Now()
	var first time.Time // when the first entry was on its way
	for i := range n {
		if err := c.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = time.Now()
		}
		<-time.After(30 * time.Millisecond)
	}
	held := time.Since(first)
	if lag, most := store.Stats().LogLag, time.Since(began); lag < held/2 || lag > most {
		t.Errorf("the lag is %v, of entries that have been on their way for %v to %v", lag, held, most)
	}
	link.Restore()
	redistest.Eventually(t, soon, "all entries have come back", func() bool {
		entries, _, _ := read.sum()
		return entries >= n
	})
	entries, depth, longest := read.sum()
	s := store.Stats()
	if entries != n || depth != n+1 || s.LogDepth != n+1 { // and the anchor
		t.Errorf("%d entries read, of a log of %d, by the Stats of %d; want %d of %d", entries, depth, s.LogDepth, n, n+1)
	}
	if longest < held/2 || s.LogLag < held/2 {
		t.Errorf("the longest lag was %v, by the Stats %v; the entries were held up for %v", longest, s.LogLag, held)
	}
}
