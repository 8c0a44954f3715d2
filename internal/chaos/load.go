package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// call is a read, and what it cost.
type call struct {
	history.Read
	added time.Duration // what the call took beyond its load; -1 without a load of its own
	err   error
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
}

// start starts the readers and writers.
func (l *load) start() {
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
	key := keyName(rand.IntN(keys))
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
	c := call{history.Read{Instance: of, Key: key, Version: v.Version, Start: start, End: end}, -1, err}
	if took := loading.Load(); took > 0 {
		c.added = time.Duration(end - start - took)
	}
	return c
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
