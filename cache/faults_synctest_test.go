package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// These are rows of the table of faults in docs/consistency.md that are shown nowhere
// else.

// The remote tier could not be told of a Mutate, and the process dies before it can
// invalidate: that is a plain write without an invalidation.
func TestKilledInAMutateThatNobodyKnowsOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		var src source
		start := time.Now()
		wantLoad(t, b, "k", src.load, "v0")
		a.remote.Inject(down)
		kill := killLate(t, a)
		src.write()
		kill()
		for time.Since(start) < 10*ttl-time.Second {
			wantLoad(t, b, "k", src.load, "v0")
			time.Sleep(ttl / 4)
		}
		time.Sleep(time.Until(start.Add(10 * ttl)))
		wantLoad(t, b, "k", src.load, "v1")
	})
}

// A loader that does not heed its context keeps its lease for LoadTimeout, and then the
// lease lapses.
func TestLoadThatNeverEndsKeepsItsLeaseForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		o := options(nil)
		o.LoadTimeout, o.WaitTimeout = 10*time.Second, time.Hour
		a, b := newInstanceWith(t, s, o), newInstanceWith(t, s, o)
		var src source
		start := time.Now()
		finish := loadLate(t, a, &src)
		wantLoad(t, b, "k", constant("v"), "v")
		took := time.Since(start)
		if took < o.LoadTimeout || took > o.LoadTimeout+cachetest.DefaultLeaseTTL {
			t.Errorf("another instance waited %v, with a LoadTimeout of %v", took, o.LoadTimeout)
		}
		finish()
		wantGet(t, a, "k", "v")
	})
}

// A load that holds the only place waits for another's, which waits for the place.
func TestLoadsThatWaitForEachOthersPlaceStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(nil)
		o.MaxLoads, o.LoadTimeout = 1, 10*time.Second
		c := newCache(t, o)
		start, asked := time.Now(), make(chan struct{})
		parent := make(chan error, 1)
		go func() {
			_, err := c.GetOrLoad(t.Context(), "parent", func(ctx context.Context, _ string) (string, error) {
				<-asked // somebody outside has asked for the child, and waits for a place
				return c.GetOrLoad(ctx, "child", constant("v"))
			})
			parent <- err
		}()
		synctest.Wait()
		child := call(t, func() (string, error) { return c.GetOrLoad(t.Context(), "child", constant("v")) })
		synctest.Wait()
		close(asked)
		if err := <-parent; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the parent's load: %v", err)
		}
		if v := <-child; v != "v" {
			t.Errorf("the child: %q", v)
		}
		if took := time.Since(start); took != o.LoadTimeout {
			t.Errorf("they stood still for %v, want %v", took, o.LoadTimeout)
		}
	})
}

// Once the keys are too many to be told apart, an Invalidate of the same keys does not
// confirm them. The invalidation of the whole cache does, which follows in the background.
func TestDistrustOfAllIsNotShortened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		wantLoad(t, b, "other", constant("v"), "v")
		keys := make([]string, 10_001)
		for i := range keys {
			keys[i] = string(rune(i))
		}
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		_ = a.Invalidate(t.Context(), keys...)
		a.remote.Inject(nil)
		invalidate(t, a, keys...)
		if !a.Stats().AllUnconfirmed {
			t.Error("AllUnconfirmed is false")
		}
		if _, err := a.Get(t.Context(), "other"); err != cache.ErrMiss {
			t.Errorf("Get: %v, want a miss", err)
		}
		time.Sleep(time.Second)
		if a.Stats().AllUnconfirmed {
			t.Error("AllUnconfirmed is true after the whole cache was invalidated")
		}
	})
}
