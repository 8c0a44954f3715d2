package redis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// The bounds of reads that share a round trip: how many keys it has, and how many of them
// are under way.
const (
	maxJoined = 64
	maxTrips  = 4
)

// joined lets reads that run side by side share round trips: a system call costs more than
// a command. A read that finds no more than a few under way is sent at once, and alone: it
// waits for nobody. Others gather until one of these is back, and one of them sends for all.
// In a Cluster reads are not joined, because the node that is slowest would hold up all.
type joined struct {
	mu    sync.Mutex // guards all below
	trips int        // under way
	queue []*joinedRead
}

// joinedRead is a read that waits for others to come back.
type joinedRead struct {
	recordRead
	lead chan []*joinedRead // gets the reads to send, the first of which is this one
	done chan struct{}      // closed when somebody else has sent it

	// Written before done is closed.
	rec cache.Record
	err error
}

// enter reports whether a read may be sent at once. If not it is queued.
func (j *joined) enter(r recordRead) (waits *joinedRead) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.trips < maxTrips {
		j.trips++
		return nil
	}
	r.lease = nil
	waits = &joinedRead{recordRead: r, lead: make(chan []*joinedRead, 1), done: make(chan struct{})}
	j.queue = append(j.queue, waits)
	return waits
}

// leave notes the end of a round trip. The next one is for the first in the queue to make,
// with those behind it.
func (j *joined) leave() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.queue) == 0 {
		j.trips--
		return
	}
	n := min(len(j.queue), maxJoined)
	batch := slices.Clone(j.queue[:n])
	j.queue = slices.Delete(j.queue, 0, n)
	batch[0].lead <- batch
}

// giveUp takes a read out of the queue whose time is over. It returns the reads that were
// handed to it meanwhile, to be sent all the same.
func (j *joined) giveUp(r *joinedRead) (batch []*joinedRead) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := slices.Index(j.queue, r); i >= 0 {
		j.queue = slices.Delete(j.queue, i, i+1)
		return nil
	}
	select {
	case batch = <-r.lead:
	default: // somebody is sending it
	}
	return batch
}

// join returns what a queued read finds, within the budget. When it is its turn to send for
// all, that is done in the background: the others may have more time left than it has.
func (s *Store) join(ctx context.Context, r *joinedRead) (cache.Record, error) {
	late := time.NewTimer(s.opts.Timeout)
	defer late.Stop()
	for {
		var err error
		select {
		case <-r.done:
			return r.rec, r.err
		case batch := <-r.lead:
			s.sendJoined(batch)
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-late.C:
			err = fmt.Errorf("redis: no answer in time: %w", context.DeadlineExceeded)
			s.reads.learn(err)
		}
		if batch := s.joined.giveUp(r); batch != nil {
			s.sendJoined(batch)
		}
		return cache.Record{}, err
	}
}

// sendJoined reads what the reads of a batch want, and hands it to them, in the background.
// After Close nobody sends, and they wait for their budget's end.
func (s *Store) sendJoined(batch []*joinedRead) {
	s.inBackground(func(ctx context.Context) {
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
}
