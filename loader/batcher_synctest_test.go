package loader_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nearside-go/nearside/loader"
)

// table is a source of many keys: each key n has the value 10*n, except those above 99, which
// it does not have.
type table struct {
	takes time.Duration
	err   error
	ends  func()

	mu    sync.Mutex // guards all below
	loads [][]int
	ctx   context.Context // of the last load
}

func (s *table) load(ctx context.Context, keys []int) (map[int]int, error) {
	s.mu.Lock()
	s.loads, s.ctx = append(s.loads, slices.Clone(keys)), ctx
	s.mu.Unlock()
	time.Sleep(s.takes)
	if s.ends != nil {
		s.ends()
	}
	values := map[int]int{-1: 5} // of a key that nobody wants
	for _, key := range keys {
		if key < 100 {
			values[key] = 10 * key
		}
	}
	return values, s.err
}

type marked struct{} // the key of a value in a context

type batched struct {
	*loader.Batcher[int, int]
	t *testing.T
	*table
}

func newBatched(t *testing.T, o loader.BatcherOptions) batched {
	t.Helper()
	s := &table{takes: time.Second}
	b, err := loader.NewBatcher(s.load, o)
	if err != nil {
		t.Fatal(err)
	}
	return batched{b, t, s}
}

// ask starts a caller of key, and returns when it waits.
func (b batched) ask(ctx context.Context, key int) *outcome {
	b.t.Helper()
	o := startCall(func() (int, error) { return b.Load(ctx, key) })
	synctest.Wait()
	return o
}

func (b batched) wantLoads(want ...[]int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := cmp.Diff(want, b.loads); d != "" {
		b.t.Errorf("loads (-want +got):\n%s", d)
	}
}

func TestLoadsOfOneDelayAreOneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatched(t, loader.BatcherOptions{MaxDelay: 10 * time.Millisecond})
		callers := map[int]*outcome{}
		for _, key := range []int{7, 3, 100, 5} {
			callers[key] = b.ask(t.Context(), key)
			time.Sleep(3 * time.Millisecond)
		}
		again := b.ask(t.Context(), 3) // 12 ms after the first: the next load
		synctest.Wait()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		b.wantLoads([]int{7, 3, 100, 5}, []int{3})
		for _, key := range []int{7, 3, 5} {
			callers[key].mustBe(t, 10*key, nil)
		}
		callers[100].mustBe(t, 0, loader.ErrNotFound)
		again.mustBe(t, 30, nil)
		if took := callers[7].took; took != 10*time.Millisecond+time.Second {
			t.Errorf("the first caller waited %v", took)
		}
	})
}

func TestAFullLoadBeginsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatched(t, loader.BatcherOptions{MaxKeys: 3, MaxDelay: time.Hour})
		var callers []*outcome
		for _, key := range []int{1, 1, 2, 2, 3, 4} {
			callers = append(callers, b.ask(t.Context(), key))
		}
		b.wantLoads([]int{1, 2, 3})
		time.Sleep(time.Second)
		synctest.Wait()
		for i, key := range []int{1, 1, 2, 2, 3} {
			callers[i].mustBe(t, 10*key, nil)
		}
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		callers[5].mustBe(t, 40, nil)
		b.wantLoads([]int{1, 2, 3}, []int{4})
	})
}

func TestBatchesOfOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatched(t, loader.BatcherOptions{MaxKeys: 1, MaxDelay: time.Hour})
		one, two := b.ask(t.Context(), 1), b.ask(t.Context(), 2)
		b.wantLoads([]int{1}, []int{2})
		time.Sleep(time.Second)
		synctest.Wait()
		one.mustBe(t, 10, nil)
		two.mustBe(t, 20, nil)
	})
}

func TestALoadIsNotAskedForTheKeysOfCallersThatHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatched(t, loader.BatcherOptions{})
		ctx, leave := context.WithCancel(t.Context())
		gone, other := b.ask(ctx, 1), b.ask(ctx, 2)
		stays, shares := b.ask(t.Context(), 3), b.ask(t.Context(), 2)
		leave()
		synctest.Wait()
		gone.mustBe(t, 0, context.Canceled)
		other.mustBe(t, 0, context.Canceled)
		back := b.ask(t.Context(), 1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		b.wantLoads([]int{2, 3, 1})
		stays.mustBe(t, 30, nil)
		shares.mustBe(t, 20, nil)
		back.mustBe(t, 10, nil)
	})
}

func TestTheLastCallerEndsTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatched(t, loader.BatcherOptions{})
		ctx, leave := context.WithCancel(t.Context())
		never := b.ask(ctx, 1)
		leave() // before the load begins
		time.Sleep(time.Minute)
		synctest.Wait()
		never.mustBe(t, 0, context.Canceled)
		b.wantLoads()

		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		b.takes = time.Hour
		one, two := b.ask(context.WithValue(first, marked{}, "value"), 1), b.ask(second, 2)
		time.Sleep(loader.DefaultMaxDelay)
		synctest.Wait()
		leaveFirst()
		synctest.Wait()
		one.mustBe(t, 0, context.Canceled)
		two.mustWait(t)
		if _, limited := b.ctx.Deadline(); limited || b.ctx.Err() != nil || b.ctx.Value(marked{}) != "value" {
			t.Errorf("the load's context: %v", b.ctx)
		}
		leaveSecond()
		synctest.Wait()
		two.mustBe(t, 0, context.Canceled)
		if b.ctx.Err() != context.Canceled {
			t.Error("the load goes on without callers")
		}
		if late := b.ask(first, 1); late.err != context.Canceled {
			t.Errorf("a caller whose context has ended gets %v", late.err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		b.wantLoads([]int{1, 2})
	})
}

func TestAFailedBatchFailsAllItsCallers(t *testing.T) {
	boom := errors.New("boom")
	for name, test := range map[string]struct {
		end  func(*table)
		want func(*outcome) bool
	}{
		"error":  {func(s *table) { s.err = boom }, func(o *outcome) bool { return o.err == boom }},
		"Goexit": {func(s *table) { s.ends = runtime.Goexit }, func(o *outcome) bool { return o.err == loader.ErrGoexit }},
		"panic": {func(s *table) { s.ends = func() { panic(boom) } }, func(o *outcome) bool {
			p, is := o.panicked.(*loader.Panic)
			return is && p.Value == boom
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBatched(t, loader.BatcherOptions{})
				test.end(b.table)
				callers := []*outcome{b.ask(t.Context(), 1), b.ask(t.Context(), 2), b.ask(t.Context(), 100)}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				for i, o := range callers {
					if !o.returned || !test.want(o) {
						t.Errorf("caller %d: %+v", i, o)
					}
				}
				b.wantLoads([]int{1, 2, 100})
			})
		})
	}
}

func TestAKeyThatDoesNotEqualItselfIsNotFound(t *testing.T) {
	b, err := loader.NewBatcher(func(context.Context, []float64) (map[float64]int, error) {
		t.Error("a load")
		return nil, nil
	}, loader.BatcherOptions{})
	if err != nil {
		t.Fatal(err)
	}
	nan := 0.0
	nan /= nan
	if _, err := b.Load(t.Context(), nan); err != loader.ErrNotFound {
		t.Errorf("err = %v", err)
	}
}

func TestOptionsOfABatcher(t *testing.T) {
	load := (&table{}).load
	for _, o := range []loader.BatcherOptions{{MaxKeys: -1}, {MaxDelay: -1}} {
		if b, err := loader.NewBatcher(load, o); b != nil || err == nil {
			t.Errorf("NewBatcher takes %+v", o)
		}
	}
	if b, err := loader.NewBatcher[int, int](nil, loader.BatcherOptions{}); b != nil || err == nil {
		t.Error("NewBatcher takes no function")
	}
}

// TestABatcherUnderManyCallers: each caller gets the value of its key, or leaves.
func TestABatcherUnderManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := loader.NewBatcher(func(_ context.Context, keys []int) (map[int]string, error) {
			if len(keys) > 10 || len(slices.Compact(slices.Sorted(slices.Values(keys)))) < len(keys) {
				t.Errorf("a load of %v", keys)
			}
			time.Sleep(time.Millisecond)
			return maps.Collect(func(yield func(int, string) bool) {
				for _, key := range keys {
					if !yield(key, fmt.Sprint(key)) {
						return
					}
				}
			}), nil
		}, loader.BatcherOptions{MaxKeys: 10})
		if err != nil {
			t.Fatal(err)
		}
		for caller := range 200 {
			go func() {
				for i := range 50 {
					key := (caller + 7*i) % 60
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(key)*100*time.Microsecond)
					got, err := b.Load(ctx, key)
					cancel()
					if err == nil && got != fmt.Sprint(key) || err != nil && err != context.DeadlineExceeded {
						t.Errorf("Load(%d) = %q, %v", key, got, err)
					}
				}
			}()
		}
		time.Sleep(time.Hour)
	})
}
