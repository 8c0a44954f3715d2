package cache_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

// killLate is mutateLate by a process that dies in the middle of its write. What the
// process would do at its end does not get through.
func killLate(t *testing.T, a *instance) (kill func()) {
	t.Helper()
	mutateLate(t, a)
	return func() {
		a.remote.Inject(down)
		a.remote.Crash()
	}
}

// tombstoneLife is how long the tombstone of a Mutate stands by default.
const tombstoneLife = cache.DefaultMutateTimeout + cachetest.DefaultBudget

// TestKilledBetweenWriteAndInvalidation: no old value is left anywhere, and what keeps
// new ones out lapses.
func TestKilledBetweenWriteAndInvalidation(t *testing.T) {
	for _, commits := range []bool{true, false} {
		t.Run(map[bool]string{true: "committed", false: "not committed"}[commits], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, b := pair(t)
				var src source
				wantLoad(t, b, "k", src.load, "v0")
				start := time.Now()
				kill := killLate(t, a)
				reading := loadLate(t, b, &src)
				if commits {
					src.write()
				}
				kill()
				if v := reading(); v != "v0" {
					t.Errorf("who was there got %q", v)
				}
				synctest.Wait()
				for time.Since(start) < tombstoneLife {
					for _, c := range []*instance{b, newInstance(t, s)} {
						wantMiss(t, c, "k")
						wantLoad(t, c, "k", src.load, src.now())
					}
					time.Sleep(time.Second / 2)
				}
				wantLoad(t, b, "k", src.load, src.now())
				wantLoad(t, newInstance(t, s), "k", loading(t), src.now())
			})
		})
	}
}

func TestTombstoneLapsesOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, _ := pair(t)
		o := options(a.remote)
		o.MutateTimeout = time.Second
		a.replace(t, o)
		kill := killLate(t, a)
		kill()
		time.Sleep(time.Second + cachetest.DefaultBudget - 1)
		if rec := s.Record(remoteKey("k")); rec.State != remote.StateTombstone {
			t.Errorf("the record is %v", rec.State)
		}
		time.Sleep(time.Nanosecond)
		if rec := s.Record(remoteKey("k")); rec.State != remote.StateAbsent {
			t.Errorf("the record is %v", rec.State)
		}
	})
}

// Another instance invalidates the key while the write runs, and reads the old value
// once more. It must not be there when the writer has died.
func TestKilledBesideAnInvalidate(t *testing.T) {
	for name, declare := range map[string]func(*testing.T, *instance){
		"Invalidate": func(t *testing.T, b *instance) { invalidate(t, b, "k") },
		"Mutate": func(t *testing.T, b *instance) {
			if err := b.Mutate(t.Context(), []string{"k"}, func(ctx) error { return nil }); err != nil {
				t.Fatal(err)
			}
		},
		"Set": func(t *testing.T, b *instance) {
			if err := b.Set(t.Context(), "k", "v0"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				var src source
				kill := killLate(t, a)
				declare(t, b)
				wantLoad(t, b, "k", src.load, "v0")
				src.write()
				kill()
				wantLoad(t, b, "k", src.load, "v1")
				time.Sleep(tombstoneLife)
				wantLoad(t, b, "k", src.load, "v1")
			})
		})
	}
}

// TestMutatesSideBySide: the key stays guarded until the last of them ends, whichever
// that is.
func TestMutatesSideBySide(t *testing.T) {
	for _, same := range []bool{true, false} {
		for _, firstEndsFirst := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				other := b
				if same {
					other = a
				}
				var src source
				finish, last := mutateLate(t, a), mutateLate(t, other)
				if !firstEndsFirst {
					finish, last = last, finish
				}
				if err := finish(nil); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				for _, c := range []*instance{a, b} {
					wantLoad(t, c, "k", src.load, "v0")
					wantMiss(t, c, "k")
				}
				src.write()
				if err := last(nil); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				wantLoad(t, a, "k", src.load, "v1")
				wantGet(t, b, "k", "v1")
			})
		}
	}
}

func TestMutatesSideBySideOfALocalTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, options(nil))
		var src source
		first, last := mutateLate(t, c), mutateLate(t, c)
		_ = first(nil)
		wantLoad(t, c, "k", src.load, "v0")
		wantMiss(t, c, "k")
		src.write()
		_ = last(nil)
		wantLoad(t, c, "k", src.load, "v1")
		wantGet(t, c, "k", "v1")
	})
}

// A key that is given twice is one key.
func TestMutateOfOneKeyTwice(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		c := newCache(t, o)
		err := c.Mutate(t.Context(), []string{"k", "other", "k"}, func(ctx) error {
			wantLoad(t, c, "k", constant("old"), "old")
			wantLoad(t, c, "other", constant("old"), "old")
			wantMiss(t, c, "k")
			wantMiss(t, c, "other")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"k", "other"} {
			wantLoad(t, c, key, constant("new"), "new")
			wantGet(t, c, key, "new")
		}
	})
}

// TestMutateWithoutTheRemoteTier: the write runs whatever the remote tier does, and
// only the invalidation counts for the caller.
func TestMutateWithoutTheRemoteTier(t *testing.T) {
	for name, c := range map[string]struct {
		during, after func(string) cachetest.Fault
		fails         bool
	}{
		"guard refused":  {during: on("guard", cachetest.Fault{Err: errDown})},
		"guard hung":     {during: on("guard", cachetest.Fault{Delay: time.Hour})},
		"guard not told": {during: on("append", cachetest.Fault{Err: errDown})},
		"guard lost":     {during: on("guard", cachetest.Fault{Err: errDown, Applied: true})},
		"comes back":     {during: down},
		"goes":           {after: down, fails: true},
		"down":           {during: down, after: down, fails: true},
		"lift refused":   {after: on("delete", cachetest.Fault{Err: errDown}), fails: true},
		"lift not told":  {after: on("append", cachetest.Fault{Err: errDown}), fails: true},
		"lift, and hung": {after: on("delete", cachetest.Fault{Delay: time.Hour}), fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				var src source
				wantLoad(t, a, "k", src.load, "v0")
				wantGet(t, b, "k", "v0")
				a.remote.Inject(c.during)
				finish := mutateLate(t, a)
				wantLoad(t, a, "k", src.load, "v0")
				wantMiss(t, a, "k")
				src.write()
				a.remote.Inject(c.after)
				start := time.Now()
				err := finish(nil)
				if took := time.Since(start); took > cachetest.DefaultBudget {
					t.Errorf("the end took %v", took)
				}
				var remote *cache.RemoteError
				if c.fails != errors.As(err, &remote) || !c.fails && err != nil {
					t.Fatalf("Mutate: %v", err)
				}
				if got := a.Stats().Unconfirmed; (got == 1) != c.fails {
					t.Errorf("%d keys are distrusted", got)
				}
				a.remote.Inject(nil)
				synctest.Wait()
				wantMiss(t, a, "k")
				wantLoad(t, a, "k", src.load, "v1")
				if !c.fails {
					wantLoad(t, b, "k", src.load, "v1")
					return
				}
				if remote.Op != "invalidate" {
					t.Errorf("the op is %q", remote.Op)
				}
				invalidate(t, a, "k")
				synctest.Wait()
				wantLoad(t, b, "k", src.load, "v1")
				wantLoad(t, a, "k", src.load, "v1")
			})
		})
	}
}

func TestHoldOffAfterMutate(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.HoldOff = time.Second
		c := newCache(t, o)
		if err := mutateLate(t, c)(nil); err != nil {
			t.Fatal(err)
		}
		wantLoad(t, c, "k", constant("of a replica"), "of a replica")
		time.Sleep(time.Second - 1)
		wantLoad(t, c, "k", constant("of a replica"), "of a replica")
		time.Sleep(time.Nanosecond)
		wantLoad(t, c, "k", constant("new"), "new")
		wantGet(t, c, "k", "new")
	})
}
