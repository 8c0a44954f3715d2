package cache_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// TestTagRecordIsEvicted: who starts after that cannot know whether the tag was
// invalidated; who was there does.
func TestTagRecordIsEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := taggedPair(t)
		wantLoad(t, a, "k", constant("old red"), "old red")
		wantLoad(t, a, "untagged", constant("old"), "old")
		deliver(late)
		s.EvictTags()
		wantGet(t, b, "k", "old red")
		wantGet(t, newTagged(t, s), "k", "old red") // nothing was appended since it was loaded
		invalidate(t, a, "another")
		later := newTagged(t, s)
		wantMiss(t, later, "k")
		wantMiss(t, later, "untagged")
		wantLoad(t, later, "k", constant("new red"), "new red")
		wantGet(t, newTagged(t, s), "k", "new red")
		if st := later.Stats(); st.InvalidRecords != 3 || st.RemoteErrors != 0 {
			t.Fatalf("stats: %+v", st)
		}
	})
}

// TestEvictedTagIsNotRevived: what a tag made wrong stays so when the position of the
// tag is gone, and when it is recorded anew.
func TestEvictedTagIsNotRevived(t *testing.T) {
	inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
		s, a, b := taggedPair(t)
		wantLoad(t, a, "k", constant("old red"), "old red")
		wantGet(t, b, "k", "old red")
		declare(t, a)
		synctest.Wait()
		s.EvictTags()
		wantMiss(t, a, "k")
		wantMiss(t, b, "k")
		wantMiss(t, newTagged(t, s), "k")
		for i, filler := range []*instance{a, b, newTagged(t, s)} {
			key := fmt.Sprint("other ", i)
			wantLoad(t, filler, key, constant("new red"), "new red")
			wantMiss(t, newTagged(t, s), "k")
			wantMiss(t, a, "k")
			s.EvictTags()
			wantMiss(t, newTagged(t, s), "k")
		}
		wantLoad(t, b, "another", constant("new red"), "new red")
		later := newTagged(t, s)
		wantLoad(t, later, "last", constant("new red"), "new red")
		wantGet(t, newTagged(t, s), "last", "new red")
		wantMiss(t, newTagged(t, s), "k")
	})
}

// TestEvictedTagIsNotRevivedByWhoIsNotTold: an instance that has not heard of the
// invalidation yet fills another key with the tag, and records it.
func TestEvictedTagIsNotRevivedByWhoIsNotTold(t *testing.T) {
	inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
		s, a, b := taggedPair(t)
		wantLoad(t, a, "k", constant("old red"), "old red")
		slowLog(t, b, late)
		declare(t, a)
		s.EvictTags()
		wantLoad(t, b, "other", constant("new red"), "new red")
		wantMiss(t, newTagged(t, s), "k")
		deliver(late)
		wantMiss(t, newTagged(t, s), "k")
	})
}

// TestEvictedTagIsNotRevivedByALateRecord: the record of a position is on its way
// while the tag is invalidated, and that is evicted.
func TestEvictedTagIsNotRevivedByALateRecord(t *testing.T) {
	inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
		s, a, b := taggedPair(t)
		a.remote.Inject(on("record", cachetest.Fault{Delay: late}))
		wantLoad(t, a, "k", constant("old red"), "old red")
		declare(t, b)
		s.EvictTags()
		deliver(late)
		wantMiss(t, a, "k")
		wantMiss(t, newTagged(t, s), "k")
	})
}

// TestTagsCannotBeRead: then a record is a miss, and costs no more than the budget.
func TestTagsCannotBeRead(t *testing.T) {
	for name, fault := range map[string]cachetest.Fault{
		"refused": {Err: errDown}, "hung": {Delay: time.Hour}, "unavailable": {Err: cache.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, _ := taggedPair(t)
				wantLoad(t, a, "k", constant("old red"), "old red")
				synctest.Wait()
				invalidateTags(t, a, "other")
				o := tagged(nil)
				var failed []string
				o.Trace = &cache.Trace{RemoteError: func(_ ctx, i cache.RemoteErrorInfo) { failed = append(failed, i.Op) }}
				later := newInstanceWith(t, s, o)
				later.remote.Inject(on("tags", fault))
				start := time.Now()
				wantMiss(t, later, "k")
				if took := time.Since(start); took > cachetest.DefaultBudget {
					t.Errorf("the call took %v", took)
				}
				start = time.Now()
				wantLoad(t, later, "k", constant("new red"), "new red")
				if took := time.Since(start); took > cachetest.DefaultBudget {
					t.Errorf("the call took %v", took)
				}
				synctest.Wait()
				st := later.Stats()
				if n := st.RemoteErrors + st.RemoteTimeouts + st.RemoteUnavailable; n < 2 || failed[0] != "tags" || failed[1] != "tags" {
					t.Errorf("failures: %v, stats: %+v", failed, st)
				}
				if st.InvalidRecords != 2 {
					t.Errorf("stats: %+v", st)
				}
			})
		})
	}
}

func TestTagsCanBeReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, _ := taggedPair(t)
		wantLoad(t, a, "k", constant("v red"), "v red")
		synctest.Wait()
		invalidateTags(t, a, "other")
		later := newTagged(t, s)
		later.remote.Inject(on("tags", cachetest.Fault{Err: errDown}))
		wantMiss(t, later, "k")
		later.remote.Inject(nil)
		wantGet(t, later, "k", "v red")
	})
}

// What Set stores is there for instances that start later, as if it had been loaded.
func TestWhoStartsLaterReadsWhatWasSet(t *testing.T) {
	for kind, tags := range map[string]func(string, string) []string{"tagged": words, "untagged": nil} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				o := options(nil)
				o.Tags = tags
				a := newInstanceWith(t, s, o)
				if err := a.Set(t.Context(), "k", "v red"); err != nil {
					t.Fatal(err)
				}
				deliver(late)
				wantGet(t, newInstanceWith(t, s, o), "k", "v red")
			})
		})
	}
}

// TestTagsAreRecordedAsLongAsTheyAreUsed: at any time an instance that starts reads
// what was loaded with a tag that was never invalidated.
func TestTagsAreRecordedAsLongAsTheyAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		o := tagged(nil)
		o.MaxAge = 4 * ttl
		a := newInstanceWith(t, s, o)
		records := 0
		for i := range 50 {
			invalidate(t, a, "another") // or positions tell nobody anything
			key := fmt.Sprint(i)
			wantLoad(t, a, key, constant("v red"), "v red")
			time.Sleep(ttl / 2)
			invalidate(t, a, "another")
			later := newInstanceWith(t, s, o)
			wantGet(t, later, key, "v red")
			records = a.remote.Calls("record")
		}
		if records > 2*20 { // two for each position, 50 fills in 25 TTLs, which are 6 MaxAges
			t.Errorf("50 fills sent %d records", records)
		}
	})
}

// A record that fails costs those who start later a miss, and nothing else.
func TestTagsCannotBeRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := taggedPair(t)
		a.remote.Inject(on("record", cachetest.Fault{Err: errDown}))
		wantLoad(t, a, "k", constant("v red"), "v red")
		synctest.Wait()
		a.remote.Inject(nil)
		wantGet(t, b, "k", "v red")
		invalidateTags(t, b, "other")
		synctest.Wait()
		wantMiss(t, newTagged(t, s), "k")
		wantLoad(t, a, "other", constant("v red"), "v red") // tries again
		synctest.Wait()
		wantGet(t, newTagged(t, s), "other", "v red")
		if st := a.Stats(); st.RemoteErrors != 1 || st.Fills != 2 {
			t.Fatalf("stats: %+v", st)
		}
	})
}
