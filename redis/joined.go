package redis

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// The bounds of reads that share a round trip.
const (
	maxJoined      = 64        // keys of a round trip
	maxJoinedBytes = 256 << 10 // bytes that a round trip brings, as far as can be foreseen
	maxTrips       = 4         // round trips under way at the same time
)

// joined lets reads that are under way at the same time share round trips: a system call
// costs more than a command. A read that finds fewer than maxTrips round trips under way is
// sent at once and alone, without a wait. Other reads wait in a queue until one of these
// round trips is back. Then the first read in the queue sends for all. In a Cluster reads
// are not joined, because the slowest node would hold up all of them.
//
// Large records are not joined either, and no read waits for a large record. Together such
// reads would take longer than the budget, although each has enough time alone.
type joined struct {
	separate bool // Options.SeparateTrips

	mu       sync.Mutex // guards all below
	trips    int        // round trips under way
	returned uint64     // round trips that brought replies
	silent   uint64     // round trips that ended without replies, and not because of the process itself
	size     int        // of the largest recent record, decaying; 0 before the first replies
	queue    []*joinedRead
}

// atOnceLocked returns how many reads may share a round trip. It returns 1 before the first
// replies.
func (j *joined) atOnceLocked() int {
	return max(1, min(maxJoined, maxJoinedBytes/cmp.Or(j.size, maxJoinedBytes)))
}

// joinedRead is a read that waits for a round trip to end.
type joinedRead struct {
	recordRead
	queued   time.Time
	lead     chan []*joinedRead // receives the reads to send, of which this read is the first
	left     atomic.Bool        // set by the reader when it leaves, or before that by its result
	done     chan struct{}      // closed once reply and err are set
	returned uint64             // joined.returned when this read was queued
	silent   uint64             // joined.silent, likewise

	// Written before done is closed.
	reply recordReply
	err   error
}

// enter returns nil if r may be sent at once. Otherwise enter queues r, and returns the
// queued read.
func (j *joined) enter(r recordRead) (waits *joinedRead) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.separate || j.trips < maxTrips || j.atOnceLocked() < 2 {
		j.trips++
		return nil
	}
	waits = &joinedRead{recordRead: r, queued: time.Now(), lead: make(chan []*joinedRead, 1), done: make(chan struct{}), returned: j.returned, silent: j.silent}
	j.queue = append(j.queue, waits)
	return waits
}

// leave notes the end of a round trip with err, and the size of its largest record: 0 without
// replies. The first read in the queue is to make the next round trip, for itself and reads
// behind it. Where records are large, all reads in the queue are sent at once, each alone.
func (j *joined) leave(largest int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.noteLocked(largest, err)
	j.trips--
	share := j.atOnceLocked()
	for len(j.queue) > 0 {
		n := min(len(j.queue), share)
		batch := slices.Clone(j.queue[:n])
		j.queue = slices.Delete(j.queue, 0, n)
		j.trips++
		batch[0].lead <- batch
		if share > 1 {
			return
		}
	}
}

// note notes the end of a round trip that is none of j's: see leave.
func (j *joined) note(largest int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.noteLocked(largest, err)
}

func (j *joined) noteLocked(largest int, err error) {
	switch {
	case largest > 0:
		j.returned++
		j.size = max(largest, j.size-j.size/16)
	case err != errStarved && err != errNoPlace:
		j.silent++
	}
}

// giveUp takes a read whose time is over out of the queue. If the read has already received
// a batch to send, giveUp returns the batch, which the caller must still send. hung reports
// that round trips have ended without replies since the read was queued, and none with. While
// not even their ends are noticed, the process does not run in time.
func (j *joined) giveUp(r *joinedRead) (batch []*joinedRead, hung bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	hung = j.returned == r.returned && j.silent != r.silent
	if i := slices.Index(j.queue, r); i >= 0 {
		j.queue = slices.Delete(j.queue, i, i+1)
		return nil, hung
	}
	select {
	case batch = <-r.lead:
	default: // another goroutine is sending r
	}
	return batch, hung
}

// join returns the result of a queued read, within the budget, and whether it asked for
// r.lease. When the read is to send for its batch, the batch is sent in the background, because
// the other reads may have more time left.
func (s *Store) join(ctx context.Context, r *joinedRead) (reply recordReply, asked bool, err error) {
	deadline := time.Now().Add(s.opts.Timeout)
	late := time.NewTimer(s.opts.Timeout)
	defer late.Stop()
	for {
		var err error
		spent := false
		select {
		case <-r.done:
			return r.reply, r.lease != nil, r.err
		case batch := <-r.lead:
			s.sendJoined(batch)
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-late.C:
			err, spent = s.lateness(deadline), true
		}
		batch, hung := s.joined.giveUp(r)
		if batch != nil {
			r.lease = nil
			s.sendJoined(batch)
		} else if !r.left.CompareAndSwap(false, true) {
			continue // the result is there
		}
		if spent && hung { // otherwise the read was only late in the queue
			s.whole.reads.learn(err)
		}
		return reply, false, err
	}
}

// sendJoined makes the reads of a batch in the background, in one round trip, and hands
// each read its result. After Close the reads get ErrUnavailable. A read that has waited for
// half of its budget may be gone before the reply, and asks for no lease.
func (s *Store) sendJoined(batch []*joinedRead) {
	runs := s.inBackground(func(ctx context.Context) {
		reads := make([]recordRead, len(batch))
		for i, r := range batch {
			if time.Since(r.queued) > s.opts.Timeout/2 {
				r.lease = nil
			}
			reads[i] = r.recordRead
		}
		replies, err := s.readRecords(ctx, reads, s.joined.leave)
		var left []*joinedRead
		for i, r := range batch {
			if r.err = err; err == nil {
				r.reply, r.err = replies[i], replies[i].err
			}
			// Nobody fills the lease of a reader that has left:
			//
			//  1. The read is sent with its lease.
			//  2. The time of its reader is over, who loads without a lease.
			//  3. The lease is granted: other instances wait for a load that nobody does.
			if !r.left.CompareAndSwap(false, true) && r.lease != nil {
				left = append(left, r)
			}
			close(r.done)
		}
		s.giveBack(ctx, left)
	})
	if !runs {
		for _, r := range batch {
			r.err = remote.ErrUnavailable
			r.left.Store(true)
			close(r.done)
		}
		s.joined.leave(0, remote.ErrUnavailable)
	}
}
