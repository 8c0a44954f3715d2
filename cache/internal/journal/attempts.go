package journal

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// startLocked starts the worker, or wakes it.
func (j *Journal) startLocked() {
	switch {
	case j.stopped:
		return
	case j.cancel != nil:
		select {
		case j.woken <- struct{}{}: // a name may be due earlier than those before
		default:
		}
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	j.cancel = cancel
	j.worker.Go(func() { j.work(ctx) })
}

// work makes the attempts that are due, until no name is left or ctx ends.
func (j *Journal) work(ctx context.Context) {
	for ctx.Err() == nil {
		names, wait := j.due()
		switch {
		case wait < 0:
			return
		case len(names) > 0:
			j.attempt(ctx, names)
			continue
		}
		select {
		case <-time.After(wait):
		case <-j.woken:
		case <-ctx.Done():
		}
	}
}

// early is how much earlier than it is due a name may be attempted, to share an attempt with
// names that are due.
const early = minPause / 2

// due returns names whose next attempt may begin, and otherwise the time until there is one.
// Without any name due ends the worker, and returns a negative time.
func (j *Journal) due() (names []string, wait time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	j.forgetLocked(now)
	if len(j.names) == 0 {
		j.cancel()
		j.cancel = nil
		return nil, -1
	}
	if wait = j.queue[0].next.Sub(now); wait > 0 {
		return nil, wait
	}
	return j.queue.due(now.Add(early), maxAtOnce), 0
}

// attempt tries to invalidate names: all of them at once and, if that fails, each of them
// alone, so that a name that cannot be invalidated does not hold up the others. Where the
// remote tier sends nothing at present, attempt does not go on. It reports false, and does
// nothing, when ctx has ended or the journal is closed.
func (j *Journal) attempt(ctx context.Context, names []string) bool {
	select {
	case j.attempting <- struct{}{}:
		defer func() { <-j.attempting }()
	case <-ctx.Done():
		return false
	}
	if j.closed.Load() {
		return false
	}
	if slices.Contains(names, j.Everything) { // covers the others
		names = []string{j.Everything}
	}
	failed, err := j.deliver(ctx, names)
	if err == nil || len(names) == 1 || errors.Is(err, remote.ErrUnavailable) {
		return true
	}
	var alone sync.WaitGroup
	places := make(chan struct{}, maxAlone)
	for _, name := range failed {
		if ctx.Err() != nil {
			break
		}
		places <- struct{}{}
		alone.Go(func() {
			defer func() { <-places }()
			_, _ = j.deliver(ctx, []string{name})
		})
	}
	alone.Wait()
	return true
}

// deliver makes one attempt. It confirms names, and delays the next attempt of those that
// have failed, which it returns.
func (j *Journal) deliver(ctx context.Context, names []string) (failed []string, err error) {
	j.attempts.Add(1)
	defer j.attempts.Add(-1)
	round := j.Round()
	failed, err = j.Deliver(ctx, names)
	j.Confirm(remote.Without(names, failed), round)
	if err == nil {
		return nil, nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	for _, name := range failed {
		if e := j.names[name]; e != nil {
			e.delay(now)
			heap.Fix(&j.queue, e.place)
		}
	}
	return failed, err
}

// Drain attempts to invalidate every name, whether due or not, once, and returns when the
// attempts have ended. It begins none after the end of ctx. The pauses after failures are short
// again: those from before say nothing about a tier that serves again.
func (j *Journal) Drain(ctx context.Context) {
	if !j.any.Load() {
		return
	}
	j.forgetPauses()
	defer j.wake()
	for names := range slices.Chunk(j.all(), maxAtOnce) {
		if !j.attempt(ctx, names) {
			return
		}
	}
}

// wake lets the worker see when names are due now.
func (j *Journal) wake() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.names) > 0 {
		j.startLocked()
	}
}

func (j *Journal) forgetPauses() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.names {
		e.pause = 0
	}
}

func (j *Journal) all() (names []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.forgetLocked(time.Now())
	for name := range j.names {
		names = append(names, name)
	}
	return names
}

// Hurry makes every name due.
func (j *Journal) Hurry() {
	j.mu.Lock()
	for _, e := range j.queue {
		e.next = time.Time{} // all are alike, so the queue is in order
	}
	j.mu.Unlock()
	j.wake()
}

// Close ends the attempts in the background, drains the journal, and returns the names that
// are left. Names that are added later are kept, and not attempted.
func (j *Journal) Close(ctx context.Context) (left []string) {
	j.mu.Lock()
	j.stopped = true
	if j.cancel != nil {
		j.cancel()
	}
	j.mu.Unlock()
	j.worker.Wait()
	j.Drain(ctx)
	j.closed.Store(true)
	if j.any.Load() {
		select { // an attempt of another Drain ends
		case j.attempting <- struct{}{}:
			<-j.attempting
		case <-ctx.Done():
		}
	}
	return j.all()
}
