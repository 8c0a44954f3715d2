package redis

import (
	"context"
	"sync"

	"github.com/nearside-go/nearside/cache/remote"
)

// maxJoinedValue is the size of the largest value that shares a round trip with others.
const maxJoinedValue = 16 << 10

// joinedEnds lets ends of leases that are under way at the same time, fills and releases,
// share round trips to one server, as joined does for reads. An end that finds fewer than
// maxTrips under way is sent at once and alone. Others wait in a queue: when a round trip is
// back, the first of them sends for those behind it. An end that somebody may be waiting for,
// or of a large value, is always sent alone.
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
	if ctx.Done() != nil || f != nil && len(f.Payload) > maxJoinedValue {
		return l.endAlone(ctx, f)
	}
	waits := c.ends.enter(l, f)
	if waits == nil {
		defer c.ends.leave() // also if a part of the client panics
		return l.endAlone(ctx, f)
	}
	select {
	case got := <-waits.done:
		return got
	case batch := <-waits.lead:
		s.sendEnds(ctx, c, batch)
		return <-waits.done
	}
}

// enter returns nil if the end may be sent at once. Otherwise enter queues the end.
func (j *joinedEnds) enter(l *lease, f *remote.Fill) (waits *joinedEnd) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.trips < maxTrips {
		j.trips++
		return nil
	}
	waits = &joinedEnd{remote.LeaseEnd{Lease: l, Fill: f}, make(chan []*joinedEnd, 1), make(chan remote.Ended, 1)}
	j.queue = append(j.queue, waits)
	return waits
}

// leave notes the end of a round trip. The first end in the queue is to make the next one.
func (j *joinedEnds) leave() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.queue) == 0 {
		j.trips--
		return
	}
	n := min(len(j.queue), maxJoined)
	batch := append([]*joinedEnd(nil), j.queue[:n]...)
	j.queue = append([]*joinedEnd(nil), j.queue[n:]...)
	batch[0].lead <- batch
}

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
			if got == nil { // a part of the client has panicked
				e.done <- remote.Ended{Err: remote.ErrUnavailable}
			} else {
				e.done <- got[i]
			}
		}
	}()
	got = s.EndMany(ctx, ends)
}
