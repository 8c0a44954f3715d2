package loader

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// ErrGoexit is returned to the callers of a load that ended its goroutine with
// [runtime.Goexit], as t.FailNow does, instead of returning.
var ErrGoexit = errors.New("loader: the load called runtime.Goexit")

// Panic is the value that each caller's goroutine panics with when the load panicked.
type Panic struct {
	Value any    // the value that the load panicked with
	Stack []byte // the stack of the load's goroutine, as debug.Stack prints it
}

// NewPanic returns the Panic of a load that has panicked with value, for the function that
// recovers it. A value that is a Panic, of a load within that load, is returned as it is.
func NewPanic(value any) *Panic {
	if p, is := value.(*Panic); is {
		return p
	}
	return &Panic{Value: value, Stack: debug.Stack()}
}

// Error returns the value and the stack of the load's goroutine.
func (p *Panic) Error() string {
	return fmt.Sprintf("loader: the load panicked: %v\n\n%s", p.Value, p.Stack)
}

// Unwrap returns Value if Value is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// fate is the reason why a flight may not publish any more; 0 while the flight may. A fate
// that is later in this order replaces an earlier one.
type fate int

const (
	detached fate = iota + 1
	abandoned
	doomed
)

// Flight is one running load, which callers share.
type Flight[V any] struct {
	waiters int                // guarded by Group.mu
	born    uint64             // the Born of its Work
	cancel  context.CancelFunc // set by the first caller before it can be the last

	mu     sync.Mutex // guards all below up to the result; held while a result is published
	fate   fate
	urged  bool
	onUrge func()

	// The result: written once, before done is closed, and read only after.
	value V
	err   error
	panic *Panic

	deliver sync.Once
	done    chan struct{}
	over    chan struct{} // closed when the load has returned

	interim chan struct{} // closed by DeliverInterim; nil if there is none
	standIn V             // written before interim is closed

	waited time.Duration // set by the first caller before the load starts
}

// Deliver returns the result to the callers that are waiting, while the load goes on with
// work that these callers need not wait for. Later callers do not get the result: they wait
// until the load has returned, at most for their Patience, and start a new flight. After
// Deliver no caller gets the load's own result or panic.
func (f *Flight[V]) Deliver(value V, err error) {
	f.deliver.Do(func() {
		f.value, f.err = value, err
		close(f.done)
	})
}

// DeliverInterim returns a result that stands in for the load's own to the callers that are
// waiting, if the flight's Work has Interim. The load goes on, also without callers. Later
// callers wait for the load's own result. A second call does nothing. It is not safe for
// concurrent use.
func (f *Flight[V]) DeliverInterim(value V) {
	if f.interim != nil && !f.early() {
		f.standIn = value
		close(f.interim)
	}
}

// early reports whether DeliverInterim was called.
func (f *Flight[V]) early() bool {
	select {
	case <-f.interim:
		return true
	default:
		return false
	}
}

// WhenUrged calls hurry once when a caller has little time left, or at once if that has been
// so. A load that waits for something ends its wait then. WhenUrged replaces the function of an
// earlier call; nil for none. hurry must be quick.
func (f *Flight[V]) WhenUrged(hurry func()) {
	f.mu.Lock()
	f.onUrge = hurry
	urged := f.urged
	f.mu.Unlock()
	if urged && hurry != nil {
		hurry()
	}
}

func (f *Flight[V]) urge() {
	f.mu.Lock()
	hurry := f.onUrge
	f.urged = true
	f.mu.Unlock()
	if hurry != nil {
		hurry()
	}
}

// Waited returns how long the first caller of this flight waited for the previous flight.
func (f *Flight[V]) Waited() time.Duration { return f.waited }

func (f *Flight[V]) deliverPanic(p *Panic) {
	f.deliver.Do(func() {
		f.panic = p
		close(f.done)
	})
}

// Publish calls store, which makes the result visible to others, and reports whether store
// was called. For a flight that is doomed, detached or abandoned Publish does nothing.
//
// A Doom that comes during store waits for store to return: so the caller of Doom can
// remove the result that store has left. The whole group waits too, so store must be quick,
// and must not call the group.
func (f *Flight[V]) Publish(store func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fate != 0 {
		return false
	}
	store()
	return true
}

// Doomed reports whether a Doom has invalidated the result.
func (f *Flight[V]) Doomed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fate == doomed
}

// Abandoned reports whether all callers left before a result was delivered. No Doom finds
// such a flight, so its result may be invalid although Doomed reports false.
func (f *Flight[V]) Abandoned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fate == abandoned
}

func (f *Flight[V]) detach(why fate) {
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

// result returns the delivered result, or panics as the load did.
func (f *Flight[V]) result() (V, error) {
	if f.panic != nil {
		panic(f.panic)
	}
	return f.value, f.err
}
