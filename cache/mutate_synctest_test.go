package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

type mutator interface {
	getter
	Mutate(ctx, []string, func(ctx) error) error
	Set(ctx, string, string) error
}

// mutateLate starts a Mutate of "k" whose write has begun when it returns. finish ends
// the write with an error, and returns that of Mutate; it ends with the test otherwise.
func mutateLate(t *testing.T, c mutator) (finish func(error) error) {
	t.Helper()
	began, end, done := make(chan struct{}), make(chan error), make(chan error, 1)
	go func() {
		done <- c.Mutate(t.Context(), []string{"k"}, func(ctx) error {
			close(began)
			return <-end
		})
	}()
	<-began
	synctest.Wait() // the tombstone is told
	ended := false
	finish = func(err error) error {
		ended = true
		end <- err
		return <-done
	}
	t.Cleanup(func() {
		if !ended {
			_ = finish(nil)
		}
	})
	return finish
}

// down makes every command of an instance fail.
func down(string) cachetest.Fault { return cachetest.Fault{Err: errDown} }

// TestNothingIsFilledDuringMutate: whoever reads meanwhile reads the source, each time.
func TestNothingIsFilledDuringMutate(t *testing.T) {
	t.Run("two tiers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, a, b := pair(t)
			var src source
			wantLoad(t, a, "k", src.load, "v0")
			wantGet(t, b, "k", "v0")
			finish := mutateLate(t, a)
			for _, c := range []*instance{a, b, newInstance(t, s), a, b} {
				wantMiss(t, c, "k")
				before := src.loads.Load()
				wantLoad(t, c, "k", src.load, "v0")
				if src.loads.Load() != before+1 {
					t.Fatal("something is stored")
				}
			}
			src.write()
			for _, c := range []*instance{a, b} {
				wantLoad(t, c, "k", src.load, "v1")
				wantMiss(t, c, "k")
			}
			if rec := s.Record(remoteKey("k")); rec.State != remote.StateTombstone {
				t.Fatalf("the record is %v", rec.State)
			}
			if err := finish(nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			wantMiss(t, a, "k")
			wantLoad(t, b, "k", src.load, "v1")
			wantLoad(t, a, "k", loading(t), "v1")
			if !heldLocally(t, a, "k") || !heldLocally(t, b, "k") {
				t.Error("what is loaded after a Mutate is not stored")
			}
		})
	})
	for name, fault := range map[string]func(string) cachetest.Fault{
		"remote down": down,
		"remote hung": slowBy(time.Hour),
		"reads fail":  on("get", cachetest.Fault{Err: errDown}),
		"local only":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options(nil)
				if fault != nil {
					r := cachetest.NewServer().Remote()
					o.Remote = r
					r.Inject(fault)
					defer deliver(ttl)
					defer r.Inject(nil)
				}
				c := newCache(t, o)
				var src source
				wantLoad(t, c, "k", src.load, "v0")
				finish := mutateLate(t, c)
				for range 3 {
					wantMiss(t, c, "k")
					before := src.loads.Load()
					wantLoad(t, c, "k", src.load, "v0")
					if src.loads.Load() != before+1 {
						t.Fatal("something is stored")
					}
				}
				src.write()
				_ = finish(nil)
				wantMiss(t, c, "k")
				wantLoad(t, c, "k", src.load, "v1")
				wantLoad(t, c, "k", loading(t), "v1")
			})
		})
	}
}

// TestLoadsBesideMutate: they read the old value, and end before or after it.
func TestLoadsBesideMutate(t *testing.T) {
	for _, begins := range []string{"before", "during"} {
		for _, ends := range []string{"during", "after"} {
			t.Run("from "+begins+" to "+ends, func(t *testing.T) {
				bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
					c := newCache(t, o)
					var src source
					var load func() string
					if begins == "before" {
						load = loadLate(t, c, &src)
					}
					finish := mutateLate(t, c)
					if begins == "during" {
						load = loadLate(t, c, &src)
					}
					src.write()
					if ends == "during" {
						load()
						wantMiss(t, c, "k")
					}
					if err := finish(nil); err != nil {
						t.Fatal(err)
					}
					later := call(t, func() (string, error) { return c.GetOrLoad(t.Context(), "k", src.load) })
					synctest.Wait()
					if ends == "after" {
						load()
					}
					if v := <-later; v != "v1" {
						t.Errorf("who came after Mutate got %q", v)
					}
					wantLoad(t, c, "k", src.load, "v1")
					if st := c.Stats(); st.Fills != 1 {
						t.Errorf("stats: %+v", st)
					}
				})
			})
		}
	}
}

// What is read from the remote tier while the tombstone is on its way.
func TestReadWhileTheTombstoneIsOnItsWay(t *testing.T) {
	for name, faults := range map[string]map[string]cachetest.Fault{
		"read before, replied after": {"guard": {Delay: 2 * time.Millisecond}, "get": {Hold: 4 * time.Millisecond}},
		"read and replied before":    {"guard": {Delay: 4 * time.Millisecond}},
		"reply late":                 {"guard": {Hold: 4 * time.Millisecond}, "get": {Delay: time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				wantLoad(t, b, "k", constant("old"), "old")
				a.remote.Inject(func(op string) cachetest.Fault { return faults[op] })
				go func() {
					time.Sleep(time.Millisecond)
					_, _ = a.Get(t.Context(), "k")
				}()
				err := a.Mutate(t.Context(), []string{"k"}, func(ctx) error {
					time.Sleep(10 * time.Millisecond)
					wantMiss(t, a, "k")
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				wantMiss(t, a, "k")
			})
		})
	}
}

func TestSetDuringMutateStoresNothing(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		finish := mutateLate(t, c)
		if err := c.Set(t.Context(), "k", "set"); err != nil {
			t.Fatal(err)
		}
		wantMiss(t, c, "k")
		if err := finish(nil); err != nil {
			t.Fatal(err)
		}
		wantMiss(t, c, "k")
	})
}
