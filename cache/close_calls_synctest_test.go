package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
)

func TestCloseEndsTheCache(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		wantLoad(t, c, "k", constant("v"), "v")
		for range 2 {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, get := c.Get(t.Context(), "k")
		_, load := c.GetOrLoad(t.Context(), "k", loading(t))
		for _, err := range []error{get, load, c.Set(t.Context(), "k", "v"), c.Invalidate(t.Context(), "k"), c.Invalidate(t.Context())} {
			if err != cache.ErrClosed {
				t.Errorf("after Close: %v", err)
			}
		}
	})
}

// TestCloseWaits also shows that nothing is left behind: the bubble ends only
// when every goroutine in it has.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		var src source
		finish := loadLate(t, a, &src)
		closed := make(chan struct{})
		for range 2 {
			go func() {
				_ = a.Close()
				closed <- struct{}{}
			}()
		}
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close did not wait for the load")
		default:
		}
		if _, err := a.Get(t.Context(), "other"); err != cache.ErrClosed {
			t.Fatalf("a call during Close: %v", err)
		}
		if v := finish(); v != "v0" {
			t.Fatalf("the call under way got %q", v)
		}
		<-closed
		<-closed
		if n := a.Stats().LocalEntries; n != 0 {
			t.Fatalf("%d entries are left in the local tier", n)
		}
	})
}

func TestCloseWaitsForTouches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		wantLoad(t, a, "k", constant("v"), "v")
		time.Sleep(ttl / 4)
		a.remote.Inject(slowBy(20 * time.Millisecond))
		wantGet(t, a, "k", "v")
		start := time.Now()
		_ = a.Close()
		if took := time.Since(start); took != 20*time.Millisecond {
			t.Fatalf("Close took %v", took)
		}
	})
}

func TestCloseBesideRunningCalls(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				for {
					time.Sleep(time.Duration(i+1) * time.Microsecond)
					_, err := c.GetOrLoad(t.Context(), string(rune('a'+i%7)), constant("v"))
					if err == cache.ErrClosed {
						return
					}
					if err != nil {
						t.Error(err)
					}
					if i%5 == 0 {
						_ = c.Invalidate(t.Context(), string(rune('a'+i%7)))
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		_ = c.Close()
		wg.Wait()
	})
}

func TestCallersEndIsNoRemoteError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		a.remote.Inject(slowBy(20 * time.Millisecond))
		if _, err := a.GetOrLoad(ctx, "k", loading(t)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("GetOrLoad: %v", err)
		}
		synctest.Wait()
		if s := a.Stats(); s.RemoteTimeouts+s.RemoteErrors != 0 {
			t.Fatalf("stats: %+v", s)
		}
	})
}
