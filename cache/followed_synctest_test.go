package cache_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// TestASecondCacheOfANameIsRefused: on one Remote each of two would take what the other
// invalidates for its own, and go on serving it.
func TestASecondCacheOfANameIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote := cachetest.NewServer().Remote()
		first := newCache(t, options(remote))
		otherSchema := options(remote)
		otherSchema.Schema = 1
		for _, o := range []cache.Options[string, string]{options(remote), otherSchema} {
			if _, err := cache.New(o); !errors.Is(err, cache.ErrFollowed) {
				t.Errorf("New for a name that is used: %v, want ErrFollowed", err)
			}
		}
		other := options(remote)
		other.Name = "other"
		newCache(t, other)
		newCache(t, options(nil))

		_ = first.Close()
		second := newCache(t, options(remote))
		_ = first.Close() // ends nothing of the second
		if _, err := cache.New(options(remote)); !errors.Is(err, cache.ErrFollowed) {
			t.Errorf("New beside the second: %v, want ErrFollowed", err)
		}
		wantLoad(t, second, "k", constant("v"), "v")
	})
}

// TestANameIsFreeWhenCloseReturns: not before, while the loads of the first run.
func TestANameIsFreeWhenCloseReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		var src source
		finish := loadLate(t, a, &src)
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_ = a.Close()
		}()
		synctest.Wait()
		if _, err := cache.New(options(a.remote)); !errors.Is(err, cache.ErrFollowed) {
			t.Errorf("New during Close: %v, want ErrFollowed", err)
		}
		finish()
		<-closed
		newCache(t, options(a.remote))
	})
}
