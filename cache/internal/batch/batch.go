// Package batch lets goroutines that do the same work for different keys make each step of the
// work together, as when a thousand reads share one round trip.
package batch

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/nearside-go/nearside/loader"
)

// Batch is a number of members that make steps together. A step begins when every member of
// the batch waits for a step, or has left the batch, and no step is under way. If members wait
// for different steps, the first of these steps begins, in the order in which the steps were
// added.
type Batch struct {
	ctx   context.Context // of all steps, but for its end
	steps []maker

	mu      sync.Mutex // guards all below, and what members and steps have
	members int        // that have not left
	moving  int        // of these, those that wait for no step
	making  bool       // a step is under way
	over    func()     // nil once it was called
}

// maker is a Step, whatever its types are.
type maker interface {
	// takeLocked returns a function that makes the step for all members that wait for it; nil
	// if none does.
	takeLocked() func()
}

// New returns a batch of so many members, which NewMember makes. The contexts of its steps have
// the values of ctx. over is called when all members have left, and no step is left to be made.
// It must be quick, and must not call the batch.
func New(ctx context.Context, members int, over func()) *Batch {
	return &Batch{ctx: context.WithoutCancel(ctx), over: over, members: members, moving: members}
}

// Member is a member of a batch. One goroutine at a time waits as a member. A nil Member is in
// no batch.
type Member struct {
	b       *Batch
	gone    bool // guarded by b.mu, like waiting
	waiting bool
}

// NewMember returns the next of the members of b.
func (b *Batch) NewMember() *Member { return &Member{b: b} }

// Leave takes m out of its batch: the others do not wait for m any more. To leave again does
// nothing. While m waits for a step, the step is still made for m.
func (m *Member) Leave() {
	if m == nil {
		return
	}
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	if m.gone {
		return
	}
	if !m.waiting {
		m.b.moving--
	}
	m.leaveLocked()
	m.b.advanceLocked()
}

func (m *Member) leaveLocked() {
	m.gone = true
	m.b.members--
}

// In reports whether m is in a batch.
func (m *Member) In() bool {
	if m == nil {
		return false
	}
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	return !m.gone
}

// advanceLocked begins the first step that a member waits for, if no member moves. If there is
// no such step and no member, the batch is over.
func (b *Batch) advanceLocked() {
	if b.moving > 0 || b.making {
		return
	}
	for _, s := range b.steps {
		if run := s.takeLocked(); run != nil {
			b.making = true
			go run()
			return
		}
	}
	if b.members == 0 && b.over != nil {
		b.over()
		b.over = nil
	}
}

// Step is a step that the members of a batch make together. Q is what a member asks for, and A
// is the answer.
type Step[Q, A any] struct {
	b   *Batch
	do  func(context.Context, []Q) []A
	due []*request[Q, A] // guarded by b.mu
}

// request is a member's wait for a step.
type request[Q, A any] struct {
	of     *Member
	asked  Q
	answer A
	failed func() // panics, or ends the goroutine; nil if the step has returned
	done   chan struct{}
	under  *sharing // guarded by Batch.mu; nil before the step begins

	unwanted bool // guarded by Batch.mu: nobody waits for the answer, and the step has not begun
}

// sharing is a step under way. Its context ends when none of its members wants the step any
// more.
type sharing struct {
	wanted int // guarded by Batch.mu
	cancel context.CancelFunc
}

// NewStep adds a step to b, behind those that b has. do makes the step: it returns an answer for
// each request, in their order. The context of do ends when the contexts of all requests have
// ended.
func NewStep[Q, A any](b *Batch, do func(context.Context, []Q) []A) *Step[Q, A] {
	s := &Step[Q, A]{b: b, do: do}
	b.steps = append(b.steps, s)
	return s
}

// Do waits for the step as the member m, and returns the answer to the request q. in reports
// whether m was in the batch; if not, Do does nothing.
//
// If ctx ends, m leaves the batch, and Do returns ctx's error. A step under way goes on while
// another member waits for it. If the step panics, Do panics with a [*loader.Panic],
// in each member. If the step ends its goroutine, Do ends the goroutine of each member.
func (s *Step[Q, A]) Do(ctx context.Context, m *Member, q Q) (answer A, in bool, err error) {
	if m == nil {
		return answer, false, nil
	}
	r := &request[Q, A]{of: m, asked: q, done: make(chan struct{})}
	b := s.b
	b.mu.Lock()
	if m.gone {
		b.mu.Unlock()
		return answer, false, nil
	}
	s.due = append(s.due, r)
	m.waiting = true
	b.moving--
	b.advanceLocked()
	b.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		if s.giveUp(m, r) {
			return answer, true, ctx.Err()
		}
		<-r.done // at once
	}
	if r.failed != nil {
		r.failed()
	}
	return r.answer, true, nil
}

// giveUp makes m leave the batch, because nobody wants the answer to r any more. It reports
// false if there is an answer.
func (s *Step[Q, A]) giveUp(m *Member, r *request[Q, A]) bool {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if !m.waiting {
		return false
	}
	m.waiting = false
	if !m.gone {
		m.leaveLocked()
	}
	if r.under == nil {
		r.unwanted = true
	} else if r.under.wanted--; r.under.wanted == 0 {
		r.under.cancel()
	}
	b.advanceLocked()
	return true
}

func (s *Step[Q, A]) takeLocked() func() {
	due := slices.DeleteFunc(s.due, func(r *request[Q, A]) bool { return r.unwanted })
	s.due = nil
	if len(due) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(s.b.ctx)
	under := &sharing{wanted: len(due), cancel: cancel}
	for _, r := range due {
		r.under = under
	}
	return func() {
		defer cancel()
		s.run(ctx, due)
	}
}

// run makes the step, and hands each member its answer, or the end of the step.
func (s *Step[Q, A]) run(ctx context.Context, due []*request[Q, A]) {
	failed := Guard(func() {
		asked := make([]Q, len(due))
		for i, r := range due {
			asked[i] = r.asked
		}
		answers := s.do(ctx, asked)
		if len(answers) != len(asked) {
			panic(fmt.Sprintf("batch: %d answers to %d requests", len(answers), len(asked)))
		}
		for i, answer := range answers {
			due[i].answer = answer
		}
	})
	s.b.mu.Lock()
	s.b.making = false
	for _, r := range due {
		if r.of.waiting && !r.of.gone {
			s.b.moving++
		}
		r.of.waiting = false
	}
	s.b.advanceLocked()
	s.b.mu.Unlock()
	for _, r := range due {
		r.failed = failed
		close(r.done)
	}
}

// Guard calls do on a goroutine of its own, and waits for it. It returns nil if do returns. If
// do panics, Guard returns a function that panics with the [*loader.Panic], and if do ends its
// goroutine, a function that ends the goroutine of its caller.
func Guard(do func()) (failed func()) {
	var done sync.WaitGroup
	done.Go(func() {
		failed = runtime.Goexit
		defer func() {
			if p := recover(); p != nil {
				whole := loader.NewPanic(p)
				failed = func() { panic(whole) }
			}
		}()
		do()
		failed = nil
	})
	done.Wait()
	return failed
}
