package cache_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// Nothing is returned after its invalidation, and a stale value never.
func TestNoWindowAfterAnInvalidation(t *testing.T) {
	ways := map[string]func(*testing.T, *instance){
		"key": func(t *testing.T, c *instance) { invalidate(t, c, "k") },
		"tag": func(t *testing.T, c *instance) { invalidateTags(t, c, "any") },
		"all": func(t *testing.T, c *instance) { invalidateAll(t, c) },
	}
	for name, declare := range ways {
		t.Run(name, func(t *testing.T) {
			eachWindowed(t, func(o *cache.Options[string, string]) { o.StaleIfError, o.StaleWhileRevalidate = ttl, ttl/2 }, func(t *testing.T, c *instance, more func() *instance) {
				by := c
				if c.remote != nil {
					by = more()
				}
				check := func(when string, spoil func(), wait time.Duration) {
					t.Helper()
					wantLoad(t, c, "k", constant("old"), "old")
					time.Sleep(ttl + wait)
					spoil()
					declare(t, by)
					synctest.Wait()
					if v, err := c.GetOrLoad(t.Context(), "k", failing(errSource)); err != errSource {
						t.Errorf("%s: %q, %v", when, v, err)
					}
					declare(t, by)
					synctest.Wait()
				}
				check("in the first window", func() {}, 1)
				check("in the second window", func() {}, ttl/2)
				check("after a load that failed", func() { wantAtOnce(t, c, "k", failing(errSource), "old") }, ttl/2)

				wantLoad(t, c, "k", constant("old"), "old")
				time.Sleep(ttl * 3 / 2)
				got := call(t, func() (string, error) {
					return c.GetOrLoad(t.Context(), "k", after(time.Second, failing(errSource)))
				})
				synctest.Wait()
				declare(t, by)
				if v := <-got; v != errSource.Error() {
					t.Errorf("during a load: %q", v)
				}
			})
		})
	}
}

// What the source does not have any more is not found, and stays so, whether or not that is
// remembered. So is a value that is not to be stored.
func TestNoWindowForWhatIsGone(t *testing.T) {
	for _, remembered := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprint(remembered), func(t *testing.T) {
			eachWindowed(t, func(o *cache.Options[string, string]) { o.StaleIfError, o.NotFoundTTL = ttl, remembered }, func(t *testing.T, c *instance, more func() *instance) {
				wantLoad(t, c, "k", constant("old"), "old")
				time.Sleep(ttl)
				wantError(t, c, "k", failing(cache.ErrNotFound), cache.ErrNotFound)
				synctest.Wait()
				time.Sleep(remembered)
				wantError(t, c, "k", failing(errSource), errSource)
				if c.remote != nil {
					wantError(t, more(), "k", failing(errSource), errSource)
				}
			})
		})
	}
	t.Run("not to be stored", func(t *testing.T) {
		eachWindowed(t, func(o *cache.Options[string, string]) {
			o.StaleIfError = ttl
			o.TTLOf = func(_, v string) time.Duration {
				if v == "passing" {
					return 0
				}
				return ttl
			}
		}, func(t *testing.T, c *instance, more func() *instance) {
			wantLoad(t, c, "k", constant("old"), "old")
			time.Sleep(ttl)
			wantLoad(t, c, "k", constant("passing"), "passing")
			wantError(t, c, "k", failing(errSource), errSource)
		})
	})
}

// Without a local tier a stale value is read before the flight of its load is registered:
//
//  1. A caller reads the stale value. An Invalidate returns, and dooms only that read.
//  2. The caller's load begins, without a lease, because the remote tier fails.
//  3. Another caller asks the remote tier, which has no record, and joins the load.
//  4. The load fails. The first caller, which began before the Invalidate, may get the stale
//     value. The other one may not.
func TestAStaleValueFromBeforeTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codec := newSlowCodec()
		o := options(nil)
		o.RemoteOnly, o.StaleIfError, o.Codec = true, ttl, codec
		c := newInstanceWith(t, cachetest.NewServer(), o)
		wantLoad(t, c, "k", constant("old"), "old")
		time.Sleep(ttl)
		early := call(t, func() (string, error) {
			return c.GetOrLoad(t.Context(), "k", after(time.Second, failing(errSource)))
		})
		<-codec.read
		invalidate(t, c, "k")
		c.remote.Inject(on("lease", cachetest.Fault{Err: errDown}))
		close(codec.finish)
		synctest.Wait()
		if v, err := c.GetOrLoad(t.Context(), "k", constant("new")); v != "new" {
			t.Errorf("a later call got %q, %v", v, err)
		}
		t.Log("the early call got", <-early)
	})
}
