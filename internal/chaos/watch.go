package chaos

import (
	"runtime"
	"sync"
	"time"
)

// watch looks at the instances each millisecond: when Redis has served hits, and how many
// goroutines there are.
type watch struct {
	caches []instance
	done   chan struct{}
	ended  chan struct{}

	mu     sync.Mutex // guards all below
	seen   []hits
	mended time.Time // when the fault ended; zero before
	peak   int
}

// hits are the Redis hits of one instance.
type hits struct {
	count  uint64
	last   time.Time     // when count was last seen to grow
	silent time.Duration // the longest time without a hit
	healed time.Duration // from the end of the fault to the first hit; -1 before
}

func newWatch(caches []instance) *watch {
	w := &watch{caches: caches, done: make(chan struct{}), ended: make(chan struct{})}
	w.reset()
	go w.run()
	return w
}

// reset begins all figures anew.
func (w *watch) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.mended, w.peak = make([]hits, len(w.caches)), time.Time{}, 0
	for i, c := range w.caches {
		w.seen[i] = hits{c.Stats().RemoteHits, time.Now(), 0, -1}
	}
}

func (w *watch) run() {
	defer close(w.ended)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.look()
		case <-w.done:
			return
		}
	}
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peak = max(w.peak, runtime.NumGoroutine())
	for i, c := range w.caches {
		w.seen[i].look(c.Stats().RemoteHits, w.mended)
	}
}

func (h *hits) look(count uint64, mended time.Time) {
	now := time.Now()
	h.silent = max(h.silent, now.Sub(h.last))
	if count == h.count {
		return
	}
	h.count, h.last = count, now
	if h.healed < 0 && !mended.IsZero() {
		h.healed = now.Sub(mended)
	}
}

// mend notes that the fault has ended, that long ago. Hits from before the call do not count
// as healed.
func (w *watch) mend(ago time.Duration) {
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mended = time.Now().Add(-ago)
}

// healed returns the time from the end of the fault until every instance had a hit; -1 if
// one has had none.
func (w *watch) healed() (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.seen {
		if h.healed < 0 {
			return -1
		}
		longest = max(longest, h.healed)
	}
	return longest
}

// silent returns the longest time that an instance was without a hit.
func (w *watch) silent() (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.seen {
		longest = max(longest, h.silent)
	}
	return longest
}

// goroutines returns the largest number of goroutines.
func (w *watch) goroutines() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peak
}

func (w *watch) stop() {
	close(w.done)
	<-w.ended
}
