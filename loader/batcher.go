package loader

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// ErrNotFound is returned for a key that the source does not have.
var ErrNotFound = errors.New("nearside: not found")

// The defaults of BatcherOptions.
const (
	DefaultMaxKeys  = 100
	DefaultMaxDelay = time.Millisecond
)

// BatcherOptions bound the loads of a Batcher. The zero value means the defaults.
type BatcherOptions struct {
	// MaxKeys is the largest number of keys of one load; 0 means DefaultMaxKeys.
	MaxKeys int

	// MaxDelay is how long the first caller of a load waits for others, at most; 0 means
	// DefaultMaxDelay. It is the price of a load that finds no others to be joined with.
	MaxDelay time.Duration
}

// Batcher joins loads of single keys that are asked for at about the same time into one load
// of many keys, such as a query with WHERE id IN. It is safe for concurrent use.
//
// Its method Load is a loader for the GetOrLoad of a cache. There each key that waits for its
// load takes a place of the cache's MaxLoads. The function that loads many keys has the context
// values of the first key's load alone, and so must not use cache.Previous or
// cache.ErrNotModified.
type Batcher[K comparable, V any] struct {
	load  func(context.Context, []K) (map[K]V, error)
	limit BatcherOptions

	mu   sync.Mutex   // guards next, and of each joint keys, callers and begun
	next *joint[K, V] // not full, and not begun; nil if there is none
}

// joint is one load of many keys.
type joint[K comparable, V any] struct {
	keys    []K       // until the load begins, those that a caller waits for
	callers map[K]int // of each key, how many wait
	begun   bool
	ctx     context.Context
	cancel  context.CancelFunc
	timer   *time.Timer // of MaxDelay

	// The result: written before done is closed, and read only after.
	values map[K]V
	err    error
	panic  *Panic
	done   chan struct{}
}

// NewBatcher returns a Batcher that calls load, or an error if load is nil or a limit is
// negative.
//
// load runs on a goroutine of its own. It receives each key once, in the order in which the
// keys were asked for first, and returns their values. A key that load leaves out is not found.
// Values of other keys are ignored. An error of load is returned to all callers, unchanged, and
// values beside an error are ignored. All callers of a key get the same value, and must not
// change it.
func NewBatcher[K comparable, V any](load func(context.Context, []K) (map[K]V, error), o BatcherOptions) (*Batcher[K, V], error) {
	if o.MaxKeys < 0 || o.MaxDelay < 0 {
		return nil, fmt.Errorf("loader: MaxKeys (%d) or MaxDelay (%v) is negative", o.MaxKeys, o.MaxDelay)
	}
	if load == nil {
		return nil, errors.New("loader: a Batcher needs a function to load with")
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	if o.MaxDelay == 0 {
		o.MaxDelay = DefaultMaxDelay
	}
	return &Batcher[K, V]{load: load, limit: o}, nil
}

// Load returns the value of key, which it loads together with the keys of other callers.
//
// A caller whose ctx ends leaves at once with ctx's error. The load's context has the values of
// the first caller's context, and ends when all callers have left, and when the load returns.
// When the load panics, each caller panics with a [*Panic]. When the load calls
// runtime.Goexit, each caller gets [ErrGoexit]. A key that does not equal itself, such as a
// NaN, is not found.
func (b *Batcher[K, V]) Load(ctx context.Context, key K) (value V, err error) {
	switch {
	case ctx.Err() != nil:
		return value, ctx.Err()
	case key != key:
		return value, ErrNotFound
	}
	j := b.join(ctx, key)
	select {
	case <-j.done:
	case <-ctx.Done():
		b.leave(j, key)
		return value, ctx.Err()
	}
	switch {
	case j.panic != nil:
		panic(j.panic)
	case j.err != nil:
		return value, j.err
	}
	value, found := j.values[key]
	if !found {
		return value, ErrNotFound
	}
	return value, nil
}

// join adds a caller of key to the next load, which begins at once if the load is full.
func (b *Batcher[K, V]) join(ctx context.Context, key K) *joint[K, V] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		j := &joint[K, V]{callers: make(map[K]int), done: make(chan struct{})}
		j.ctx, j.cancel = context.WithCancel(context.WithoutCancel(ctx))
		j.timer = time.AfterFunc(b.limit.MaxDelay, func() { b.run(j) })
		b.next = j
	}
	j := b.next
	if j.callers[key]++; j.callers[key] == 1 {
		j.keys = append(j.keys, key)
	}
	// A timer that cannot be stopped has fired: then it is its function that begins the load.
	if len(j.keys) == b.limit.MaxKeys {
		b.next = nil
		if j.timer.Stop() {
			go b.run(j)
		}
	}
	return j
}

// leave takes a caller of key off j. A load that has not begun is not asked for a key without
// callers. A load without callers is cancelled.
func (b *Batcher[K, V]) leave(j *joint[K, V], key K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j.callers[key]--; j.callers[key] > 0 {
		return
	}
	delete(j.callers, key)
	if !j.begun {
		j.keys = slices.DeleteFunc(j.keys, func(k K) bool { return k == key })
	}
	if len(j.callers) > 0 {
		return
	}
	j.cancel()
	if b.next == j {
		b.next = nil
		j.timer.Stop()
	}
}

// run makes the load of j. From now on no caller joins j.
func (b *Batcher[K, V]) run(j *joint[K, V]) {
	b.mu.Lock()
	if b.next == j {
		b.next = nil
	}
	j.begun = true
	b.mu.Unlock()
	defer j.cancel()
	if len(j.keys) == 0 {
		return // every caller has left
	}
	returned := false
	defer func() {
		if p := recover(); p != nil {
			j.panic = NewPanic(p)
		} else if !returned {
			j.err = ErrGoexit
		}
		close(j.done)
	}()
	values, err := b.load(j.ctx, j.keys)
	// A copy, because the callers read the values after load has returned.
	j.values, j.err, returned = maps.Clone(values), err, true
}
