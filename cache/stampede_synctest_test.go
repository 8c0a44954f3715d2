package cache_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/loader"
)

func TestThousandCallersOneLoad(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		var src source
		slow := func(ctx context.Context, k string) (string, error) {
			time.Sleep(50 * time.Millisecond)
			return src.load(ctx, k)
		}
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if v, err := c.GetOrLoad(t.Context(), "k", slow); v != "v0" || err != nil {
					t.Errorf("GetOrLoad: %q, %v", v, err)
				}
			})
		}
		wg.Wait()
		if n := src.loads.Load(); n != 1 {
			t.Fatalf("%d loads", n)
		}
		if s := c.Stats(); s.Loads != 1 || s.Misses != 1000 {
			t.Fatalf("stats: %+v", s)
		}
	})
}

func TestColdLocalTierOneGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		wantLoad(t, a, "k", constant("v"), "v")
		b.remote.Inject(slowBy(10 * time.Millisecond))
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { wantAnswer(t, b, "k", loading(t), "v") })
		}
		wg.Wait()
		if n := b.remote.Calls("get"); n != 1 {
			t.Fatalf("%d gets", n)
		}
		if s := b.Stats(); s.RemoteHits != 1000 || s.LocalHits != 0 {
			t.Fatalf("stats: %+v", s)
		}
	})
}

func TestCallersLeaveOnTheirOwnContexts(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		type key struct{}
		var ended error
		load := func(ctx context.Context, _ string) (string, error) {
			if ctx.Value(key{}) != "first" {
				t.Error("the load's context has not the values of the first caller's")
			}
			select {
			case <-time.After(5 * time.Second):
			case <-ctx.Done():
				ended = ctx.Err()
			}
			return "v", ended
		}
		call := func(after time.Duration, want error) {
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "first"))
			time.AfterFunc(after, cancel)
			start := time.Now()
			if _, err := c.GetOrLoad(ctx, "k", load); err != want {
				t.Errorf("GetOrLoad: %v, want %v", err, want)
			}
			if took := time.Since(start); want != nil && took != after {
				t.Errorf("a caller left %v after its end", took-after)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() { call(time.Second, context.Canceled) })
		synctest.Wait()
		wg.Go(func() { call(2*time.Second, context.Canceled) })
		wg.Go(func() { call(time.Hour, nil) })
		wg.Wait()
		if ended != nil {
			t.Fatalf("the load ended with %v although a caller was left", ended)
		}

		invalidate(t, c, "k")
		wg.Go(func() { call(time.Second, context.Canceled) })
		wg.Go(func() { call(2*time.Second, context.Canceled) })
		wg.Wait()
		synctest.Wait()
		if ended != context.Canceled {
			t.Fatalf("all callers left, and the load ended with %v", ended)
		}
		start := time.Now()
		wantLoad(t, c, "k", constant("new"), "new")
		if took := time.Since(start); took > 0 {
			t.Fatalf("the next load waited %v", took)
		}
	})
}

func TestEndedContextStartsNoLoad(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.GetOrLoad(ctx, "k", loading(t)); err != context.Canceled {
			t.Fatalf("GetOrLoad: %v", err)
		}
	})
}

func TestWaitersShareTheError(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		down, loads := errors.New("source down"), 0
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := c.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
					loads++
					time.Sleep(time.Second)
					return "", down
				})
				if err != down {
					t.Errorf("GetOrLoad: %v", err)
				}
			})
		}
		wg.Wait()
		if loads != 1 {
			t.Fatalf("%d loads", loads)
		}
	})
}

func TestPanicReachesEveryWaiter(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				defer func() {
					if p, _ := recover().(*loader.Panic); p == nil || p.Value != "boom" {
						t.Errorf("recovered %v", p)
					}
				}()
				_, _ = c.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
					time.Sleep(time.Second)
					panic("boom")
				})
				t.Error("GetOrLoad returned")
			})
		}
		wg.Wait()
		wantLeaseFree(t, c)
	})
}

func TestGoexitHangsNobody(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		_, err := c.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
			runtime.Goexit()
			return "", nil
		})
		if err != loader.ErrGoexit {
			t.Fatalf("GetOrLoad: %v", err)
		}
		wantLeaseFree(t, c)
	})
}

// wantLeaseFree loads, without a wait for anybody's lease.
func wantLeaseFree(t *testing.T, c *cache.Cache[string, string]) {
	t.Helper()
	start := time.Now()
	wantLoad(t, c, "k", constant("v"), "v")
	if took := time.Since(start); took > 0 {
		t.Fatalf("the next load waited %v for the lease", took)
	}
	if s := c.Stats(); s.LoadErrors != 1 || s.Loads != 2 {
		t.Fatalf("stats: %+v", s)
	}
}

func TestMaxLoadsBoundsTheLoads(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.MaxLoads = 3
		c := newCache(t, o)
		var mu sync.Mutex
		running, most := 0, 0
		load := func(context.Context, string) (string, error) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return "v", nil
		}
		var wg sync.WaitGroup
		start := time.Now()
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			wg.Go(func() { wantAnswer(t, c, key, load, "v") })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := c.GetOrLoad(ctx, "g", loading(t)); err != context.DeadlineExceeded {
			t.Errorf("a caller over the limit: %v", err)
		}
		wg.Wait()
		if most != 3 || time.Since(start) != 2*time.Second {
			t.Fatalf("%d loads side by side, %v in all", most, time.Since(start))
		}
	})
}

func TestLoadsThatLoadDoNotWaitForEachOther(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.MaxLoads = 1
		c := newCache(t, o)
		wantLoad(t, c, "child", func(ctx context.Context, _ string) (string, error) {
			return c.GetOrLoad(ctx, "parent", constant("v"))
		}, "v")
	})
}

func TestLoadTimeoutEndsTheLoadsContext(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.LoadTimeout = time.Second
		c := newCache(t, o)
		start := time.Now()
		_, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		if err != context.DeadlineExceeded || time.Since(start) != time.Second {
			t.Fatalf("GetOrLoad: %v after %v", err, time.Since(start))
		}
	})
}
