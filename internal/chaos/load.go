package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// call is a read of a key, and its cost. There are a million of them: without pointers they
// cost the garbage collector nothing, which would take its time from the calls.
type call struct {
	of, key    int
	version    int64
	start, end int64         // in the time of package history
	added      time.Duration // the time of the call beyond its load; -1 without a load of its own
	failed     bool
}

// read returns the call for package history.
func (c call) read() history.Read {
	return history.Read{Instance: c.of, Key: keyName(c.key), Version: c.version, Start: c.start, End: c.end}
}

var errForeign = errors.New("the value of another key")

// load is the readers and writers while they run.
type load struct {
	source   *source
	caches   []instance
	deadline time.Duration
	bound    time.Duration         // how old a read may be
	earlier  []history.Invalidated // before these readers and writers ran
	end      context.CancelFunc
	running  sync.WaitGroup

	calls       [][]call // of each reader
	invalidated [writers][]history.Invalidated

	mu     sync.Mutex // guards errors
	errors []string   // of calls, each text once
}

// start starts the readers and some writers.
func (l *load) start(writers int) {
	ctx, cancel := context.WithCancel(context.Background())
	l.end = cancel
	for i := range l.calls {
		l.running.Go(func() {
			for ctx.Err() == nil {
				l.calls[i] = append(l.calls[i], l.read(i%len(l.caches)))
				pause(ctx, readPause)
			}
		})
	}
	for i := range writers {
		l.running.Go(func() {
			for ctx.Err() == nil {
				l.write(i)
				pause(ctx, writePause)
			}
		})
	}
}

// stop ends the readers and writers, and returns when none runs any more.
func (l *load) stop() {
	l.end()
	l.running.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// read reads a random key through an instance.
func (l *load) read(of int) call {
	n := rand.IntN(keys)
	key := keyName(n)
	var loading atomic.Int64 // the load may outlive the call
	ctx, cancel := context.WithTimeout(context.Background(), l.deadline)
	defer cancel()
	start := history.Now()
	v, err := l.caches[of].GetOrLoad(ctx, key, func(ctx context.Context, key string) (value, error) {
		began := history.Now()
		v, err := l.source.load(ctx, key)
		loading.Store(history.Now() - began)
		return v, err
	})
	end := history.Now()
	if err == nil && v.Key != key {
		err = errForeign
	}
	c := call{of: of, key: n, version: v.Version, start: start, end: end, added: -1, failed: err != nil}
	if c.failed {
		l.note(err)
	}
	if took := loading.Load(); took > 0 {
		c.added = time.Duration(end - start - took)
	}
	return c
}

const someErrors = 5

// note keeps the text of a failure, among some.
func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errors) < someErrors && !slices.Contains(l.errors, err.Error()) {
		l.errors = append(l.errors, err.Error())
	}
}

// write commits to a random key and invalidates it.
func (l *load) write(of int) {
	i := rand.IntN(keys)
	v := l.source.commit(i)
	start := history.Now()
	if err := l.caches[of].Invalidate(context.Background(), keyName(i)); err == nil {
		l.invalidated[of] = append(l.invalidated[of], history.Invalidated{
			Instance: of, Key: keyName(i), Version: v, Start: start, End: history.Now(),
		})
	}
}
