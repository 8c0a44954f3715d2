package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// closing starts a load of "holds Close up" on c, calls before, starts a Close that waits
// for the load, and returns what ends both.
func closing(t *testing.T, c closer, before func()) (finish func()) {
	t.Helper()
	proceed, closed := make(chan struct{}), make(chan error, 1)
	call(t, func() (string, error) {
		return c.GetOrLoad(t.Context(), "holds Close up", func(ctx, string) (string, error) {
			<-proceed
			return "v", nil
		})
	})
	synctest.Wait()
	before()
	go func() { closed <- c.Close() }()
	synctest.Wait()
	return func() {
		t.Helper()
		select {
		case <-closed:
			t.Error("Close did not wait for the load")
		default:
		}
		close(proceed)
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

type closer interface {
	getter
	Close() error
}

func wantClosed(t *testing.T, c getter, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if v, err := c.Get(t.Context(), key); err != cache.ErrClosed {
			t.Errorf("Get of %s during Close: %q, %v; want ErrClosed", key, v, err)
		}
		if v, err := c.GetOrLoad(t.Context(), key, loading(t)); err != cache.ErrClosed {
			t.Errorf("GetOrLoad of %s during Close: %q, %v; want ErrClosed", key, v, err)
		}
		if err := c.Invalidate(t.Context(), key); err != cache.ErrClosed {
			t.Errorf("Invalidate of %s during Close: %v, want ErrClosed", key, err)
		}
	}
}

// TestNothingIsServedWhileCloseWaits: closed means closed, of local hits too, whatever
// another instance invalidates meanwhile.
func TestNothingIsServedWhileCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		wantLoad(t, a, "k", constant("old"), "old")
		finish := closing(t, a, func() {})
		wantClosed(t, a, "k")
		invalidate(t, b, "k")
		synctest.Wait()
		wantClosed(t, a, "k", "absent")
		finish()
		wantClosed(t, a, "k")
		wantLoad(t, b, "holds Close up", loading(t), "v") // it is in the remote tier
	})
}

// TestNothingIsPublishedWhileCloseWaits: not by a load that began before Close, not by one
// whose loader is called after, because it waited for its place, and not by a Set.
func TestNothingIsPublishedWhileCloseWaits(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.MaxLoads = 2
		setting := make(chan struct{})
		o.Tags = func(key, _ string) []string {
			if key == "set" {
				<-setting
			}
			return nil
		}
		c := newCache(t, o)
		var calls []<-chan string
		begin := func(do func() (string, error)) {
			calls = append(calls, call(t, do))
			synctest.Wait()
		}
		before := make(chan struct{})
		begin(func() (string, error) {
			return c.GetOrLoad(t.Context(), "before", func(ctx, string) (string, error) { <-before; return "v", nil })
		})
		begin(func() (string, error) { return "v", c.Set(t.Context(), "set", "v") })
		finish := closing(t, c, func() {
			// Both places are taken: this load waits for one, and marks what it knows then.
			begin(func() (string, error) { return c.GetOrLoad(t.Context(), "late", constant("v")) })
		})
		close(before)
		close(setting)
		synctest.Wait()
		wantClosed(t, c, "before", "late", "set")
		finish()
		for _, got := range calls {
			if v := <-got; v != "v" {
				t.Errorf("a call under way got %q", v)
			}
		}
		if n := c.Stats().LocalEntries; n != 0 {
			t.Errorf("%d local entries are left", n)
		}
	})
}

// TestALoaderThatLoadsItsOwnKey: the inner call waits for the outer load, which waits for
// it, until the load's context ends.
func TestALoaderThatLoadsItsOwnKey(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.LoadTimeout = 5 * time.Second
		c := newCache(t, o)
		var inner error
		start := time.Now()
		_, err := c.GetOrLoad(t.Context(), "k", func(ctx context.Context, key string) (string, error) {
			_, inner = c.GetOrLoad(ctx, key, loading(t))
			return "", inner
		})
		if !errors.Is(inner, context.DeadlineExceeded) || err != inner {
			t.Errorf("the inner call: %v, the outer one: %v; want the error of the load's context", inner, err)
		}
		if took := time.Since(start); took != o.LoadTimeout {
			t.Errorf("that took %v, want %v", took, o.LoadTimeout)
		}
		wantLoad(t, c, "k", constant("v"), "v")
	})
}
