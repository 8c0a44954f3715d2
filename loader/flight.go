package loader

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrGoexit is what callers get whose load ended its goroutine with
// [runtime.Goexit], as t.FailNow does, instead of returning.
var ErrGoexit = errors.New("loader: the load called runtime.Goexit")

// Panic is what each caller's goroutine panics with when the load panicked.
type Panic struct {
	Value any    // what the load panicked with
	Stack []byte // of the load's goroutine, as debug.Stack prints it
}

// Error returns the value and the stack of the load's goroutine.
func (p *Panic) Error() string {
	return fmt.Sprintf("loader: the load panicked: %v\n\n%s", p.Value, p.Stack)
}

// Unwrap returns the value if it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// fate is why a flight publishes nothing any more; 0 while it may. A later one, in this
// order, takes the place of an earlier one.
type fate int

const (
	silenced fate = iota + 1
	abandoned
	doomed
)

// Flight is one running load, which callers share.
type Flight[V any] struct {
	waiters int                // guarded by Group.mu
	born    uint64             // by Work.Born
	cancel  context.CancelFunc // of the load; set by the first caller before it can be the last

	mu   sync.Mutex // guards fate; held while a result is published
	fate fate

	// Written once, before done is closed, and read only after.
	value V
	err   error
	panic *Panic

	deliver sync.Once
	done    chan struct{}
	over    chan struct{} // closed when the load has returned

	waited time.Duration // set by the first caller before it starts the load
}

// Deliver hands the result to the callers that are there, while the load goes on with
// work that they need not wait for. Callers that come later do not get it: they wait until
// the load has returned, for their Patience, and start a new flight. What the load returns in
// the end, or panics with, reaches nobody.
func (f *Flight[V]) Deliver(value V, err error) {
	f.deliver.Do(func() {
		f.value, f.err = value, err
		close(f.done)
	})
}

// Waited is how long the first caller of this flight waited for the one before it.
func (f *Flight[V]) Waited() time.Duration { return f.waited }

func (f *Flight[V]) deliverPanic(p *Panic) {
	f.deliver.Do(func() {
		f.panic = p
		close(f.done)
	})
}

// Publish calls store, which makes the result visible to others, unless the
// flight is doomed, silenced or abandoned, and says whether it did. A Doom meanwhile waits for store to
// return, so that what store left behind is there for Doom's caller to remove.
// The whole group waits with it: store must be quick, and must not call the group.
func (f *Flight[V]) Publish(store func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fate != 0 {
		return false
	}
	store()
	return true
}

// Doomed reports whether a Doom has declared the result wrong.
func (f *Flight[V]) Doomed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fate == doomed
}

// Abandoned reports whether all callers left before they had a result. No Doom finds
// such a flight: what it knows may have been declared wrong.
func (f *Flight[V]) Abandoned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fate == abandoned
}

func (f *Flight[V]) silence(why fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fate = max(f.fate, why)
}

func (f *Flight[V]) delivered() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// result returns what was delivered, or panics as the load did.
func (f *Flight[V]) result() (V, error) {
	if f.panic != nil {
		panic(f.panic)
	}
	return f.value, f.err
}
