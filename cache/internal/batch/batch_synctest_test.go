package batch_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/internal/batch"
	"github.com/nearside-go/nearside/loader"
)

// crew is a batch whose two steps double numbers, and note what they were asked together.
type crew struct {
	*batch.Batch
	first, second *batch.Step[int, int]
	over          atomic.Int32

	mu    sync.Mutex
	made  [][]int
	takes time.Duration
	ended int // steps whose context has ended
}

func newCrew(ctx context.Context, members int) *crew {
	c := &crew{}
	c.Batch = batch.New(ctx, members, func() { c.over.Add(1) })
	c.first, c.second = batch.NewStep(c.Batch, c.double), batch.NewStep(c.Batch, c.double)
	return c
}

func (c *crew) double(ctx context.Context, asked []int) (answers []int) {
	select {
	case <-time.After(c.takes):
	case <-ctx.Done():
		c.mu.Lock()
		c.ended++
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = append(c.made, slices.Sorted(slices.Values(asked)))
	for _, n := range asked {
		answers = append(answers, 2*n)
	}
	return answers
}

// want wants these steps to have been made, and the batch to be over or not.
func (c *crew) want(t *testing.T, over bool, made ...[]int) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.EqualFunc(c.made, made, slices.Equal) {
		t.Errorf("steps for %v, want %v", c.made, made)
	}
	if n := c.over.Load(); (n == 1) != over || n > 1 {
		t.Errorf("over was called %d times, want over: %v", n, over)
	}
}

// do makes a step as m.
func do(t *testing.T, s *batch.Step[int, int], m *batch.Member, n int) {
	t.Helper()
	if got, in, err := s.Do(t.Context(), m, n); got != 2*n || !in || err != nil {
		t.Errorf("Do of %d: %d, %v, %v", n, got, in, err)
	}
}

func TestMembersMakeTheirStepsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t.Context(), 4)
		for i := range 3 {
			m := c.NewMember()
			go func() {
				defer m.Leave()
				if i != 1 {
					do(t, c.first, m, i)
				}
				do(t, c.second, m, 10*i)
			}()
		}
		c.want(t, false) // the fourth member has not come yet
		m := c.NewMember()
		if !m.In() {
			t.Error("a new member is not in the batch")
		}
		m.Leave()
		m.Leave()
		c.want(t, true, []int{0, 2}, []int{0, 10, 20})
		if _, in, _ := c.first.Do(t.Context(), m, 1); in || m.In() {
			t.Error("a member that has left makes a step")
		}
		var none *batch.Member
		if _, in, _ := c.first.Do(t.Context(), none, 1); in || none.In() {
			t.Error("a nil member makes a step")
		}
		none.Leave()
	})
}

func TestAMemberThatNoLongerWaitsLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t.Context(), 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a, b := c.NewMember(), c.NewMember()
		if _, in, err := c.first.Do(ctx, a, 1); !in || err != context.DeadlineExceeded {
			t.Errorf("Do returned in %v, %v", in, err)
		}
		do(t, c.first, b, 2)
		b.Leave()
		c.want(t, true, []int{2})
	})
}

// A step that has begun goes on for those who still want it, and ends when nobody does.
func TestAStepIsWantedByTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t.Context(), 2)
		c.takes = time.Minute
		start := time.Now()
		var calls sync.WaitGroup
		for i, wants := range []time.Duration{time.Second, 2 * time.Second} {
			m := c.NewMember()
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), wants)
				defer cancel()
				if _, in, err := c.first.Do(ctx, m, i); !in || err != context.DeadlineExceeded || time.Since(start) != wants {
					t.Errorf("Do: %v, %v after %v", in, err, time.Since(start))
				}
				if m.In() {
					t.Error("a member that has given up is in the batch")
				}
			})
		}
		time.Sleep(1500 * time.Millisecond)
		c.want(t, false)
		calls.Wait()
		c.want(t, true, []int{0, 1})
		if c.ended != 1 {
			t.Error("the step's context has not ended")
		}
	})
}

// A member leaves while it waits: the step is made for it, and nobody waits for it later.
func TestAMemberLeavesWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t.Context(), 3)
		a, b, late := c.NewMember(), c.NewMember(), c.NewMember()
		go do(t, c.first, a, 1)
		go func() {
			do(t, c.first, b, 2)
			do(t, c.second, b, 3)
			b.Leave()
		}()
		c.want(t, false)
		a.Leave()
		c.want(t, false)
		late.Leave()
		c.want(t, true, []int{1, 2}, []int{3})
	})
}

func TestAStepThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		b := batch.New(t.Context(), 2, func() {})
		ends := batch.NewStep(b, func(context.Context, []int) []int { panic(boom) })
		exits := batch.NewStep(b, func(context.Context, []int) []int {
			runtime.Goexit()
			return nil
		})
		var ended atomic.Int32
		for range 2 {
			m := b.NewMember()
			go func() {
				defer m.Leave()
				func() {
					defer func() {
						if p, is := recover().(*loader.Panic); !is || p.Value != boom {
							t.Errorf("the panic of a step arrives as %v", p)
						}
					}()
					_, _, _ = ends.Do(t.Context(), m, 1)
				}()
				defer ended.Add(1)
				_, _, _ = exits.Do(t.Context(), m, 1)
				t.Error("a step ended its goroutine, and Do returned")
			}()
		}
		synctest.Wait()
		if n := ended.Load(); n != 2 {
			t.Errorf("the goroutines of %d members ended, want 2", n)
		}
	})
}
