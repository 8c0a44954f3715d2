package cache_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// TestInvalidateTagsIsExact: on a warm instance, on the one that invalidates, on one
// that knows none of the values, and on one that starts later.
func TestInvalidateTagsIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := taggedPair(t)
		cold := newTagged(t, s)
		values := map[string]string{"r": "v red", "b": "v blue", "rb": "v red blue", "none": "v"}
		for key, v := range values {
			wantLoad(t, a, key, constant(v), v)
			wantGet(t, b, key, v)
		}
		invalidateTags(t, a, "red", "green")
		synctest.Wait()
		later := newTagged(t, s)
		for _, i := range []*instance{a, b, cold, later} {
			for key, v := range values {
				if strings.Contains(v, "red") {
					wantMiss(t, i, key)
					continue
				}
				if warm := i == a || i == b; warm && !heldLocally(t, i, key) {
					t.Errorf("the copy of %s is gone", key)
				}
				wantGet(t, i, key, v)
			}
		}
		wantLoad(t, later, "r", constant("new red"), "new red")
		wantLoad(t, cold, "rb", constant("new red"), "new red")
		for _, i := range []*instance{a, b, cold, later, newTagged(t, s)} {
			wantGet(t, i, "r", "new red")
			wantGet(t, i, "rb", "new red")
		}
	})
}

func TestTagsAreThoseOfTheValue(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.Tags = words
		c := newCache(t, o)
		wantLoad(t, c, "k", constant("1 red"), "1 red")
		invalidateTags(t, c, "blue")
		wantGet(t, c, "k", "1 red")
		invalidateTags(t, c, "red")
		wantMiss(t, c, "k")
		wantLoad(t, c, "k", constant("2 blue"), "2 blue")
		invalidateTags(t, c, "red")
		wantGet(t, c, "k", "2 blue")
		invalidateTags(t, c, "blue")
		wantMiss(t, c, "k")
		if err := c.Set(t.Context(), "k", "3 green"); err != nil {
			t.Fatal(err)
		}
		invalidateTags(t, c, "blue")
		wantGet(t, c, "k", "3 green")
		invalidateTags(t, c, "green")
		wantMiss(t, c, "k")
	})
}

// One tag of two is enough, also when the other one was looked at since.
func TestEachTagCounts(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.Tags = words
		c := newCache(t, o)
		for _, tag := range []string{"red", "blue", "any"} {
			wantLoad(t, c, "k", constant("v red blue"), "v red blue")
			invalidateTags(t, c, "other")
			wantGet(t, c, "k", "v red blue")
			invalidateTags(t, c, tag)
			wantMiss(t, c, "k")
			wantMiss(t, c, "k")
		}
		if st := c.Stats(); st.LocalHits != 3 || st.Misses != 9 {
			t.Fatalf("stats: %+v", st)
		}
	})
}

func TestTagsMayChangeTheirSlice(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		shared := []string{"z", "a", "z"}
		o.Tags = func(string, string) []string { return shared }
		c := newCache(t, o)
		wantLoad(t, c, "k", constant("v"), "v")
		if shared[0] != "z" {
			t.Fatal("the slice of Options.Tags was changed")
		}
		shared[0], shared[1], shared[2] = "x", "x", "x"
		invalidateTags(t, c, "x")
		wantGet(t, c, "k", "v")
		invalidateTags(t, c, "a")
		wantMiss(t, c, "k")
	})
}

// TestInvalidateAllReachesAll: warm instances, cold ones, and one that starts later;
// values with tags, without, and what was not found.
func TestInvalidateAllReachesAll(t *testing.T) {
	for kind, tags := range map[string]func(string, string) []string{"tagged": words, "untagged": nil} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				o := options(nil)
				o.Tags, o.NotFoundTTL = tags, ttl
				open := func() *instance { return newInstanceWith(t, s, o) }
				a, b, cold := open(), open(), open()
				o.Name = "another"
				another := open()
				o.Name = "test"
				wantLoad(t, another, "k", constant("old"), "old")
				wantLoad(t, a, "k", constant("old red"), "old red")
				_, _ = a.GetOrLoad(t.Context(), "none", failing(cache.ErrNotFound))
				for _, i := range []*instance{a, b} {
					wantGet(t, i, "k", "old red")
					if _, err := i.Get(t.Context(), "none"); err != cache.ErrNotFound {
						t.Fatal(err)
					}
				}
				invalidateAll(t, a)
				synctest.Wait()
				all := []*instance{a, b, cold, open()}
				for _, i := range all {
					wantMiss(t, i, "k")
					wantMiss(t, i, "none")
				}
				wantLoad(t, b, "k", constant("new red"), "new red")
				_, _ = cold.GetOrLoad(t.Context(), "none", failing(cache.ErrNotFound))
				for _, i := range append(all, open()) {
					wantGet(t, i, "k", "new red")
					if _, err := i.Get(t.Context(), "none"); err != cache.ErrNotFound {
						t.Errorf("not found, loaded since, is %v", err)
					}
				}
				if !heldLocally(t, another, "k") {
					t.Error("another cache lost its values")
				}
			})
		})
	}
}

func TestInvalidateAllOfALocalTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(nil)
		o.NotFoundTTL = ttl
		c := newCache(t, o)
		wantLoad(t, c, "k", constant("old"), "old")
		_, _ = c.GetOrLoad(t.Context(), "none", failing(cache.ErrNotFound))
		invalidateAll(t, c)
		wantMiss(t, c, "k")
		wantMiss(t, c, "none")
		wantLoad(t, c, "k", constant("new"), "new")
		wantGet(t, c, "k", "new")
	})
}

// TestWarmHitsCostNoCommand: however many other tags are invalidated, and wherever.
func TestWarmHitsCostNoCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := taggedPair(t)
		const n = 50
		for i := range n {
			v := fmt.Sprint("v red t", i)
			wantLoad(t, a, strconv.Itoa(i), constant(v), v)
			wantGet(t, b, strconv.Itoa(i), v)
		}
		for i := range n {
			invalidateTags(t, []wide{a, b, newTagged(t, s)}[i%3], fmt.Sprint("other ", i), "blue")
			synctest.Wait()
			before := commands(a.remote) + commands(b.remote)
			for _, c := range []*instance{a, b} {
				for j := range n {
					wantGet(t, c, strconv.Itoa(j), fmt.Sprint("v red t", j))
				}
			}
			if sent := commands(a.remote) + commands(b.remote) - before; sent != 0 {
				t.Fatalf("warm hits sent %d commands", sent)
			}
		}
		if st := b.Stats(); st.LocalHits != n*n || st.InvalidLocals != 0 {
			t.Fatalf("stats: %+v", st)
		}
	})
}

// Copies of an instance that was there from the start need no question either; one
// that starts later asks once for each tag.
func TestWhoStartsLaterAsksOncePerTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := taggedPair(t)
		const n = 20
		for i := range n {
			wantLoad(t, a, strconv.Itoa(i), constant("v red"), "v red")
		}
		invalidateTags(t, a, "other")
		later := newTagged(t, s)
		for i := range n {
			wantGet(t, b, strconv.Itoa(i), "v red")
			wantGet(t, later, strconv.Itoa(i), "v red")
		}
		if asked := b.remote.Calls("tags"); asked != 0 {
			t.Errorf("who was there asked %d times", asked)
		}
		if asked := later.remote.Calls("tags"); asked != 1 {
			t.Errorf("who came later asked %d times", asked)
		}
		invalidateTags(t, a, "red")
		synctest.Wait()
		for i := range n {
			wantMiss(t, later, strconv.Itoa(i))
		}
		if asked := later.remote.Calls("tags"); asked != 1 {
			t.Errorf("after an invalidation that it was told of it asked %d times", asked)
		}
	})
}

// A record that a tag has made wrong makes way, once for the fleet.
func TestWrongRecordIsReplacedOnce(t *testing.T) {
	inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
		s, a, b := taggedPair(t)
		wantLoad(t, a, "k", constant("old"), "old")
		declare(t, a)
		synctest.Wait()
		var src source
		src.write()
		finish := loadLate(t, a, &src)
		others := []*instance{b, newTagged(t, s)}
		var got []<-chan string
		for _, i := range others {
			got = append(got, call(t, func() (string, error) { return i.GetOrLoad(t.Context(), "k", src.load) }))
		}
		time.Sleep(time.Second)
		finish()
		for _, v := range got {
			if v := <-v; v != "v1" {
				t.Errorf("another instance got %q", v)
			}
		}
		if n := src.loads.Load(); n != 1 {
			t.Fatalf("%d loads", n)
		}
		if st := b.Stats(); st.LeaseWaits != 1 || st.InvalidRecords != 0 {
			t.Fatalf("stats: %+v", st)
		}
	})
}
