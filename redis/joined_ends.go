package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// maxJoinedValue is the size of the largest value that shares a round trip with others.
const maxJoinedValue = 16 << 10

// joinedEnds lets ends of leases that are under way at the same time, fills and releases,
// share round trips to one server, as joined does for reads. An end that finds fewer than
// maxTrips under way is sent at once and alone. Others wait in a queue, for half of the budget
// at most: when a round trip is back, the first of them sends for those behind it. An end whose
// context may end, or of a large value, is always sent alone, and so are all if the queue is
// long. In the queue the lease is still renewed.
type joinedEnds struct {
	mu    sync.Mutex // guards all below
	trips int        // round trips under way
	queue []*joinedEnd
}

// joinedEnd is the end of a lease that waits for a round trip to end.
type joinedEnd struct {
	remote.LeaseEnd
	lead chan []*joinedEnd // receives the ends to send, of which this end is the first
	done chan remote.Ended
}

// endLease ends a lease, with a fill or, if f is nil, with a release.
func (s *Store) endLease(ctx context.Context, l *lease, f *remote.Fill) remote.Ended {
	c := s.circuitOf(l.key)
	if s.opts.SeparateTrips || ctx.Done() != nil || f != nil && len(f.Payload) > maxJoinedValue {
		return l.endAlone(ctx, f)
	}
	waits, counts := c.ends.enter(l, f)
	if waits == nil {
		if counts {
			defer c.ends.leave() // also if a hook of the caller panics
		}
		return l.endAlone(ctx, f)
	}
	late := time.NewTimer(s.opts.Timeout / 2)
	defer late.Stop()
	for {
		select {
		case got := <-waits.done:
			return got
		case batch := <-waits.lead:
			s.sendEnds(ctx, c, batch)
			return <-waits.done
		case <-late.C:
			if c.ends.giveUp(waits) {
				return l.endAlone(ctx, f)
			}
		}
	}
}

// enter queues the end, or returns nil if the end is to be sent alone. counts reports whether
// its round trip then counts, and leave is to be called.
func (j *joinedEnds) enter(l *lease, f *remote.Fill) (waits *joinedEnd, counts bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.trips < maxTrips {
		j.trips++
		return nil, true
	}
	if len(j.queue) == maxTrips*maxJoined {
		return nil, false
	}
	waits = &joinedEnd{remote.LeaseEnd{Lease: l, Fill: f}, make(chan []*joinedEnd, 1), make(chan remote.Ended, 1)}
	j.queue = append(j.queue, waits)
	return waits, false
}

// giveUp takes an end out of the queue, and reports whether it was there still.
func (j *joinedEnds) giveUp(waits *joinedEnd) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.Index(j.queue, waits)
	if i >= 0 {
		j.queue = slices.Delete(j.queue, i, i+1)
	}
	return i >= 0
}

// leave notes the end of a round trip. The first end in the queue is to make the next one.
func (j *joinedEnds) leave() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.queue) == 0 {
		j.trips--
		return
	}
	n := j.shareLocked()
	batch := slices.Clone(j.queue[:n])
	j.queue = slices.Delete(j.queue, 0, n)
	batch[0].lead <- batch
}

// shareLocked returns how many ends of the queue share the next round trip.
func (j *joinedEnds) shareLocked() int {
	bytes := 0
	for n, e := range j.queue {
		if e.Fill != nil {
			bytes += len(e.Fill.Payload)
		}
		if n > 0 && (n == maxJoined || bytes > maxJoinedBytes) {
			return n
		}
	}
	return len(j.queue)
}

var errBroken = errors.New("redis: a round trip was broken off by a panic")

// sendEnds makes the ends of a batch in one round trip, and hands each its result.
func (s *Store) sendEnds(ctx context.Context, c *circuit, batch []*joinedEnd) {
	defer c.ends.leave()
	ends := make([]remote.LeaseEnd, len(batch))
	for i, e := range batch {
		ends[i] = e.LeaseEnd
	}
	var got []remote.Ended
	defer func() {
		for i, e := range batch {
			switch {
			case got != nil:
				e.done <- got[i]
			case e.Fill == nil:
				_, err := e.Lease.(*lease).released(0, errBroken)
				e.done <- remote.Ended{Err: err}
			default:
				e.done <- remote.Ended{Err: errBroken}
			}
		}
	}()
	got = s.EndMany(ctx, ends)
}
