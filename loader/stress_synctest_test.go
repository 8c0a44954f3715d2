package loader_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/loader"
)

var errSource = errors.New("source")

// world is a source and a cache of one copy per key. Versions only grow.
type world struct {
	group loader.Group[int, int64]
	limit *loader.Limit
	cells [3]cell

	loads, refused, left, failed, doomed atomic.Int64
}

type cell struct {
	source  atomic.Int64 // the version that is committed
	settled atomic.Int64 // the newest version whose writer has returned
	copied  atomic.Int64 // what was published; 0 is nothing
}

// load reads the source, then takes its time to publish.
func (w *world) load(key int, r uint64) loader.Work[int64] {
	c := &w.cells[key]
	load := func(ctx context.Context, f *loader.Flight[int64]) (v int64, err error) {
		w.loads.Add(1)
		full := w.limit.Run(ctx, func(ctx context.Context) {
			v = c.source.Load()
			select {
			case <-time.After(time.Duration(r % 5)):
			case <-ctx.Done():
			}
			if r%11 == 0 {
				err = errSource
				return
			}
			if r%7 == 0 {
				f.Deliver(v, nil)
				time.Sleep(time.Duration(r % 3))
			}
			if !f.Publish(func() { c.copied.Store(v) }) {
				w.refused.Add(1)
			}
		})
		return v, errors.Join(full, err)
	}
	if r%4 != 0 {
		return loader.Work[int64]{Load: load}
	}
	return loader.Work[int64]{Load: load, Quick: func(context.Context, *loader.Flight[int64]) (int64, error, bool) {
		v := c.source.Load()
		runtime.Gosched()
		return v, nil, r%8 == 0
	}}
}

// read fails the test if it sees anything older than what was settled before it began.
func (w *world) read(t *testing.T, rng *rand.Rand) {
	key := rng.IntN(len(w.cells))
	c := &w.cells[key]
	settled := c.settled.Load()
	if v := c.copied.Load(); v != 0 {
		if v < settled {
			t.Errorf("the copy is of version %d, after version %d was settled", v, settled)
		}
		if rng.IntN(3) > 0 {
			return
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rng.IntN(12)))
	defer cancel()
	settled = c.settled.Load()
	v, err := w.group.Do(ctx, key, w.load(key, rng.Uint64()))
	switch {
	case err == nil && (v < settled || v > c.source.Load()):
		t.Errorf("a load gave version %d, %d was settled before it", v, settled)
	case err != nil && err == ctx.Err():
		w.left.Add(1)
	case errors.Is(err, errSource):
		w.failed.Add(1)
	case err != nil:
		t.Errorf("a caller got %v, its context says %v", err, ctx.Err())
	}
}

func (w *world) write(rng *rand.Rand) {
	key := rng.IntN(len(w.cells))
	c := &w.cells[key]
	v := c.source.Add(1)
	w.group.Doom(key)
	c.copied.Store(0)
	w.doomed.Add(1)
	for old := c.settled.Load(); old < v && !c.settled.CompareAndSwap(old, v); old = c.settled.Load() {
	}
}

// The bubble's exit shows that no goroutine stays.
func TestRandomCancelsAndDoomsNeverShowAnOldValue(t *testing.T) {
	const workers, rounds = 16, 1500
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		w := &world{limit: loader.NewLimit(4)}
		for i := range w.cells {
			w.cells[i].source.Store(1)
		}
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				for range rounds {
					if rng.IntN(5) == 0 {
						w.write(rng)
					} else {
						w.read(t, rng)
					}
					if rng.IntN(2) == 0 {
						time.Sleep(time.Duration(rng.IntN(4)))
					}
				}
			})
		}
		wg.Wait()
		w.group.Wait()
		for name, n := range map[string]int64{"loads": w.loads.Load(), "refused publishes": w.refused.Load(),
			"callers that left": w.left.Load(), "failed loads": w.failed.Load()} {
			if n == 0 {
				t.Errorf("the run met no %s: it shows too little", name)
			}
		}
		if n := w.loads.Load(); n >= workers*rounds {
			t.Errorf("%d loads: no flight was shared", n)
		}
		t.Logf("%d loads, %d refused, %d left, %d failed, %d doomed",
			w.loads.Load(), w.refused.Load(), w.left.Load(), w.failed.Load(), w.doomed.Load())
	})
}
