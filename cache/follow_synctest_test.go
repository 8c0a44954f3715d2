package cache_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// late is how long entries of the log take in tests where that matters.
const late = 20 * time.Millisecond

func TestOtherInstancesDropWhatIsInvalidated(t *testing.T) {
	for name, declare := range map[string]func(*testing.T, *instance){
		"Invalidate": func(t *testing.T, a *instance) { invalidate(t, a, "k") },
		"tag":        func(t *testing.T, a *instance) { invalidateTags(t, a, "any") },
		"all":        func(t *testing.T, a *instance) { invalidateAll(t, a) },
		"Mutate": func(t *testing.T, a *instance) {
			if err := a.Mutate(t.Context(), []string{"k"}, func(ctx) error { return nil }); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := taggedPair(t)
				var src source
				wantLoad(t, a, "k", src.load, "v0")
				wantGet(t, b, "k", "v0")
				slowLog(t, b, late)
				src.write()
				declare(t, a)
				wantMiss(t, a, "k")
				deliver(late)
				wantMiss(t, b, "k")
				wantLoad(t, b, "k", src.load, "v1")
				wantGet(t, a, "k", "v1")
			})
		})
	}
}

func TestSetReplacesTheCopiesOfOtherInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		wantLoad(t, b, "k", constant("old"), "old")
		if err := a.Set(t.Context(), "k", "new"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantGet(t, b, "k", "new")
		wantGet(t, a, "k", "new")
	})
}

// A load under way on another instance is not stored over what was Set: not in the
// remote tier, for its lease is gone, and not in its local one, for it is told.
func TestSetStaysBesideTheLoadOfAnotherInstance(t *testing.T) {
	for _, op := range []string{"none", "lease"} {
		t.Run(op+" fails", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				var src source
				b.remote.Inject(on(op, cachetest.Fault{Err: errDown}))
				finish := loadLate(t, b, &src)
				b.remote.Inject(nil)
				if err := a.Set(t.Context(), "k", "set"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if v := finish(); v != "v0" {
					t.Fatalf("the waiter got %q", v)
				}
				synctest.Wait()
				wantGet(t, b, "k", "set")
				wantGet(t, a, "k", "set")
			})
		})
	}
}

// TestOwnEchoDoesNothing: an entry that comes back to the instance that wrote it does
// not drop what was loaded since.
func TestOwnEchoDoesNothing(t *testing.T) {
	for name, declare := range map[string]func(*testing.T, *instance){
		"Invalidate": func(t *testing.T, a *instance) { invalidate(t, a, "k") },
		"tag":        func(t *testing.T, a *instance) { invalidateTags(t, a, "any") },
		"all":        func(t *testing.T, a *instance) { invalidateAll(t, a) },
		"Set":        func(t *testing.T, a *instance) { _ = a.Set(t.Context(), "k", "set") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, _ := taggedPair(t)
				wantLoad(t, a, "k", constant("old"), "old")
				slowLog(t, a, late)
				declare(t, a)
				want := "new"
				if name == "Set" {
					want = "set"
				}
				wantLoad(t, a, "k", constant("new"), want)
				finish := loadLate(t, elsewhere{a}, &source{})
				deliver(late)
				if !heldLocally(t, a, "k") {
					t.Error("the copy is gone")
				}
				finish()
				if !heldLocally(t, a, "other k") {
					t.Error("a load under way was doomed")
				}
				if st := a.Stats(); st.InvalidationsReceived != 0 || st.DoomedFills != 0 {
					t.Errorf("stats: %+v", st)
				}
			})
		})
	}
}

// elsewhere puts loadLate's key elsewhere.
type elsewhere struct{ getter }

func (e elsewhere) GetOrLoad(c ctx, key string, load func(ctx, string) (string, error)) (string, error) {
	return e.getter.GetOrLoad(c, "other "+key, load)
}

// TestReadUnderWayIsNotKept: the record is read before it is deleted, and its reply
// arrives after the entry has.
func TestReadUnderWayIsNotKept(t *testing.T) {
	for name, read := range map[string]func(*testing.T, *instance) (string, error){
		"Get": func(t *testing.T, b *instance) (string, error) { return b.Get(t.Context(), "k") },
		"GetOrLoad": func(t *testing.T, b *instance) (string, error) {
			return b.GetOrLoad(t.Context(), "k", loading(t))
		},
		"impatient GetOrLoad": func(t *testing.T, b *instance) (string, error) {
			c, cancel := context.WithTimeout(t.Context(), late+time.Millisecond)
			defer cancel()
			return b.GetOrLoad(c, "k", loading(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				var src source
				wantLoad(t, a, "k", src.load, "v0")
				b.remote.Inject(on("get", cachetest.Fault{Hold: late}))
				got := call(t, func() (string, error) { return read(t, b) })
				synctest.Wait()
				src.write()
				invalidate(t, a, "k")
				synctest.Wait()
				if v := <-got; v != "v0" {
					t.Fatalf("the caller who was there got %q", v)
				}
				b.remote.Inject(nil)
				wantMiss(t, b, "k")
				wantLoad(t, b, "k", src.load, "v1")
			})
		})
	}
}

// A caller who comes after the entry does not share the read of one who was there.
func TestReadUnderWayIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		var src source
		wantLoad(t, a, "k", src.load, "v0")
		b.remote.Inject(on("get", cachetest.Fault{Hold: late}))
		early := call(t, func() (string, error) { return b.GetOrLoad(t.Context(), "k", src.load) })
		synctest.Wait()
		src.write()
		invalidate(t, a, "k")
		synctest.Wait()
		later := call(t, func() (string, error) { return b.GetOrLoad(t.Context(), "k", src.load) })
		if v := <-early; v != "v0" {
			t.Errorf("the early caller got %q", v)
		}
		if v := <-later; v != "v1" {
			t.Errorf("the later caller got %q", v)
		}
		synctest.Wait()
		wantGet(t, a, "k", "v1")
	})
}

// TestForeignEntriesCostNothing: of keys and tags that an instance does not hold.
func TestForeignEntriesCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := taggedPair(t)
		wantLoad(t, b, "k", constant("v red"), "v red")
		sent := commands(b.remote)
		const n = 100
		for i := range n {
			invalidate(t, a, "other "+strconv.Itoa(i))
			invalidateTags(t, a, "tag "+strconv.Itoa(i))
		}
		synctest.Wait()
		if got := commands(b.remote); got != sent {
			t.Fatalf("%d entries made the other instance send %d commands", 2*n, got-sent)
		}
		if st := b.Stats(); st.LocalEntries != 1 || st.InvalidationsReceived < 2*n || st.Gaps != 0 {
			t.Fatalf("stats: %+v", st)
		}
		if !heldLocally(t, b, "k") {
			t.Fatal("the copy of another key is gone")
		}
	})
}

// Loads are never announced, and neither are the records of tags.
func TestFillsWriteNoLogEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := taggedPair(t)
		invalidate(t, a, "k")
		synctest.Wait()
		before, appends := s.Remote().Observed("test"), a.remote.Calls("append")
		for i := range 100 {
			wantLoad(t, a, fmt.Sprint("a", i), constant(fmt.Sprint("v t", i)), fmt.Sprint("v t", i))
			wantLoad(t, b, fmt.Sprint("b", i), constant("v red"), "v red")
			wantGet(t, b, fmt.Sprint("a", i), fmt.Sprint("v t", i))
			_, _ = b.GetOrLoad(t.Context(), "failing", failing(errDown))
			_, _ = b.GetOrLoad(t.Context(), "none", failing(cache.ErrNotFound))
		}
		synctest.Wait()
		if after := s.Remote().Observed("test"); after != before {
			t.Fatalf("the log went from %v to %v", before, after)
		}
		if n := a.remote.Calls("append") - appends + b.remote.Calls("append"); n != 0 {
			t.Fatalf("fills sent %d appends", n)
		}
	})
}

func TestToldOfOthersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, _ := taggedPair(t)
		o := tagged(nil)
		var told []cache.InvalidatedInfo
		o.Trace = &cache.Trace{Invalidated: func(_ ctx, i cache.InvalidatedInfo) { told = append(told, i) }}
		b := newInstanceWith(t, s, o)
		o.Name, o.Trace = "another", nil
		other := newInstanceWith(t, s, o)
		o.Name, o.Schema = "test", 1
		newer := newInstanceWith(t, s, o)
		invalidate(t, b, "own")
		invalidate(t, other, "k")
		invalidate(t, newer, "k")
		synctest.Wait()
		if len(told) > 0 {
			t.Errorf("told of %v", told)
		}
		invalidate(t, a, "a:b", "")
		invalidateTags(t, a, ":t")
		invalidateAll(t, a)
		synctest.Wait()
		seen := make(map[cache.InvalidatedInfo]bool)
		for _, i := range told {
			seen[i] = true
		}
		for _, want := range []cache.InvalidatedInfo{{Name: "a:b"}, {Name: ""}, {Name: ":t", Tag: true}, {Name: "", Tag: true}} {
			if !seen[want] {
				t.Errorf("not told of %+v", want)
			}
			delete(seen, want)
		}
		if len(seen) > 0 {
			t.Errorf("told of %v as well", seen)
		}
	})
}

// What is in two entries is told twice.
func TestToldOfEachEntry(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*testing.T, *instance) error
		want uint64
	}{
		"Invalidate":     {func(t *testing.T, a *instance) error { return a.Invalidate(t.Context(), "k", "l") }, 2},
		"Set":            {func(t *testing.T, a *instance) error { return a.Set(t.Context(), "k", "v") }, 1},
		"InvalidateTags": {func(t *testing.T, a *instance) error { return a.InvalidateTags(t.Context(), "t", "u") }, 4},
		"InvalidateAll":  {func(t *testing.T, a *instance) error { return a.InvalidateAll(t.Context()) }, 2},
		"Mutate": {func(t *testing.T, a *instance) error {
			return a.Mutate(t.Context(), []string{"k"}, func(ctx) error { return nil })
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := taggedPair(t)
				if err := c.do(t, a); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if n := b.Stats().InvalidationsReceived; n != c.want {
					t.Errorf("told %d times, want %d", n, c.want)
				}
			})
		})
	}
}
