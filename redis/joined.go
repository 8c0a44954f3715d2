package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// The bounds of reads that share a round trip: how many keys it has, how many bytes it
// brings, as far as that can be foreseen, and how many of them are under way.
const (
	maxJoined      = 64
	maxJoinedBytes = 256 << 10
	maxTrips       = 4
)

// joined lets reads that run side by side share round trips: a system call costs more than
// a command. A read that finds no more than a few under way is sent at once, and alone: it
// waits for nobody. Others gather until one of these is back, and one of them sends for all.
// In a Cluster reads are not joined, because the node that is slowest would hold up all.
//
// Large records are not joined either, and no read waits for one: together they would take
// longer than the budget, which each has time for alone.
type joined struct {
	mu       sync.Mutex // guards all below
	trips    int        // under way
	returned uint64     // trips that brought replies
	size     int        // of the largest record of late, fading with each trip; 0 if none was read
	queue    []*joinedRead
}

// atOnceLocked is how many reads share a round trip. Before any record was read it is one.
func (j *joined) atOnceLocked() int {
	return min(maxJoined, maxJoinedBytes/cmp.Or(j.size, maxJoinedBytes))
}

// joinedRead is a read that waits for others to come back.
type joinedRead struct {
	recordRead
	lead     chan []*joinedRead // gets the reads to send, the first of which is this one
	done     chan struct{}      // closed when somebody else has sent it
	returned uint64             // joined.returned when it was queued

	// Written before done is closed.
	rec cache.Record
	err error
}

// enter reports whether a read may be sent at once. If not it is queued.
func (j *joined) enter(r recordRead) (waits *joinedRead) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.trips < maxTrips || j.atOnceLocked() < 2 {
		j.trips++
		return nil
	}
	r.lease = nil
	waits = &joinedRead{recordRead: r, lead: make(chan []*joinedRead, 1), done: make(chan struct{}), returned: j.returned}
	j.queue = append(j.queue, waits)
	return waits
}

// leave notes the end of a round trip, and the size of the largest record that it brought;
// 0 if it brought no replies. The next one is for the first in the queue to make, with those
// behind it. Where the records are large, all that are in the queue are sent, each alone.
func (j *joined) leave(largest int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if largest > 0 {
		j.returned++
		j.size = max(largest, j.size-j.size/16)
	}
	j.trips--
	for len(j.queue) > 0 {
		n := min(len(j.queue), j.atOnceLocked())
		alone := n == 1 && j.atOnceLocked() < 2
		batch := slices.Clone(j.queue[:n])
		j.queue = slices.Delete(j.queue, 0, n)
		j.trips++
		batch[0].lead <- batch
		if !alone {
			return
		}
	}
}

// giveUp takes a read out of the queue whose time is over. It returns the reads that were
// handed to it meanwhile, to be sent all the same. It reports whether no round trip has come
// back since the read was queued.
func (j *joined) giveUp(r *joinedRead) (batch []*joinedRead, hung bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	hung = j.returned == r.returned
	if i := slices.Index(j.queue, r); i >= 0 {
		j.queue = slices.Delete(j.queue, i, i+1)
		return nil, hung
	}
	select {
	case batch = <-r.lead:
	default: // somebody is sending it
	}
	return batch, hung
}

// join returns what a queued read finds, within the budget. When it is its turn to send for
// all, that is done in the background: the others may have more time left than it has.
func (s *Store) join(ctx context.Context, r *joinedRead) (cache.Record, error) {
	late := time.NewTimer(s.opts.Timeout)
	defer late.Stop()
	for {
		var err error
		spent := false
		select {
		case <-r.done:
			return r.rec, r.err
		case batch := <-r.lead:
			s.sendJoined(batch)
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-late.C:
			err, spent = fmt.Errorf("redis: no answer in time: %w", context.DeadlineExceeded), true
		}
		batch, hung := s.joined.giveUp(r)
		if batch != nil {
			s.sendJoined(batch)
		}
		if spent && hung { // otherwise the read only came late to its turn, which says nothing about Redis
			s.reads.learn(err)
		}
		return cache.Record{}, err
	}
}

// sendJoined reads what the reads of a batch want, and hands it to them, in the background.
// After Close they get ErrUnavailable.
func (s *Store) sendJoined(batch []*joinedRead) {
	runs := s.inBackground(func(ctx context.Context) {
		reads := make([]recordRead, len(batch))
		for i, r := range batch {
			reads[i] = r.recordRead
		}
		replies, err := s.readRecords(ctx, reads)
		for i, r := range batch {
			if r.err = err; err == nil {
				r.rec, r.err = replies[i].rec, replies[i].err
			}
			close(r.done)
		}
	})
	if !runs {
		for _, r := range batch {
			r.err = cache.ErrUnavailable
			close(r.done)
		}
		s.joined.leave(0)
	}
}
