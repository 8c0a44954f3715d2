package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

// captured is a Remote that keeps the follower of its cache.
type captured struct {
	*cachetest.Remote
	follower remote.Follower
}

func (r *captured) Follow(name string, f remote.Follower) (func(), error) {
	r.follower = f
	return r.Remote.Follow(name, f)
}

// newCaptured adds an instance whose follower the test may call.
func newCaptured(t *testing.T, s *cachetest.Server, change ...func(*cache.Options[string, string])) (*cache.Cache[string, string], *captured) {
	r := &captured{Remote: s.Remote()}
	o := tagged(r)
	for _, f := range change {
		f(&o)
	}
	return newCache(t, o), r
}

// A record that was there when an instance learned of the invalidation of its key has come
// back with a server that had lost the deletion. A record that was filled later is valid,
// although its instance did not know of the invalidation.
func TestARecordFromBeforeARememberedInvalidationIsAMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		a, r := newCaptured(t, s)
		b := newInstanceWith(t, s, tagged(nil))
		wantLoad(t, b, "k", constant("old"), "old")
		time.Sleep(time.Second / 2)
		lost := remote.Position{Time: 1000}
		r.follower.Invalidated("test:0:k", lost, false)
		time.Sleep(time.Second)
		wantMiss(t, a, "k")
		wantLoad(t, a, "k", constant("new"), "new")
		if n := a.Stats().InvalidRecords; n != 2 {
			t.Errorf("%d invalid records, want 2", n)
		}
		synctest.Wait()
		wantGet(t, b, "k", "old") // b knows nothing of it
		invalidate(t, b, "other")
		wantLoad(t, newInstanceWith(t, s, tagged(nil)), "k", loading(t), "new")

		r.follower.Invalidated("test:0:late", lost, false)
		time.Sleep(time.Second)
		wantLoad(t, b, "late", constant("v"), "v")
		time.Sleep(time.Second)
		wantLoad(t, a, "late", loading(t), "v")
	})
}

// A record that was there for long before its invalidation shows that the server has lost
// deletions. All that this instance remembers from that one on is invalidated again, here too:
// it may have taken a record for valid that another instance has renewed.
func TestARecordThatHasComeBackIsDeletedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		a, r := newCaptured(t, s)
		b := newInstanceWith(t, s, tagged(nil))
		keys := []string{"earlier", "k", "later", "renewed"}
		for _, key := range keys {
			wantLoad(t, b, key, constant("old"), "old")
		}
		time.Sleep(5 * time.Second)
		for n, key := range keys {
			r.follower.Invalidated("test:0:"+key, remote.Position{Time: uint64(1000 + n)}, false)
		}
		time.Sleep(ttl / 4)
		newInstanceWith(t, s, tagged(nil)).touch(t, "renewed")
		wantGet(t, a, "renewed", "old") // it seems to be new
		wantMiss(t, a, "k")
		synctest.Wait()
		time.Sleep(time.Second)
		late := newInstanceWith(t, s, tagged(nil))
		for _, i := range []wide{a, b, late} {
			for _, key := range keys[1:] {
				wantMiss(t, i, key)
			}
		}
		wantGet(t, late, "earlier", "old") // until an instance that remembers reads it
		if st := a.Stats(); st.Reverts != 1 || st.Unconfirmed != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// touch reads a key, whose TTL is renewed then.
func (i *instance) touch(t *testing.T, key string) {
	t.Helper()
	before := i.Stats().Touches
	wantGet(t, i, key, "old")
	synctest.Wait()
	if i.Stats().Touches != before+1 {
		t.Fatal("the TTL was not renewed")
	}
}

// A record is no proof that was filled after the deletion by an instance that was not told
// either, however long it takes until this instance is told.
func TestARecordThatWasFilledBeforeItsEntryCameIsNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		a, b, c := newInstanceWith(t, s, tagged(nil)), newInstanceWith(t, s, tagged(nil)), newInstanceWith(t, s, tagged(nil))
		invalidate(t, c, "other")
		deliver(0)
		a.remote.CutLog()
		b.remote.CutLog()
		invalidate(t, c, "k")
		time.Sleep(time.Second)
		wantLoad(t, b, "k", constant("new"), "new")
		time.Sleep(5 * time.Second)
		a.remote.MendLog()
		deliver(0)
		wantMiss(t, a, "k")
		synctest.Wait()
		time.Sleep(time.Second)
		if st := a.Stats(); st.Reverts != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// The record of a Set is older than its entry of the log, and valid.
func TestTheRecordOfASetIsValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		invalidate(t, a, "before")
		deliver(0)
		if err := a.Set(t.Context(), "k", "v"); err != nil {
			t.Fatal(err)
		}
		deliver(0)
		wantLoad(t, a, "k", loading(t), "v")
		wantLoad(t, b, "k", loading(t), "v")
	})
}

// What the server has lost is invalidated again, and until then not read from the remote
// tier.
func TestWhatTheServerHasLostIsInvalidatedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		a, r := newCaptured(t, s)
		b := newInstanceWith(t, s, tagged(nil))
		deliver(0)
		start := r.Observed("test")
		for _, key := range []string{"1", "2"} {
			if err := a.Invalidate(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.InvalidateTags(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		deliver(0)
		wantLoad(t, b, "1", constant("old"), "old")
		wantLoad(t, b, "other", constant("v"), "v")
		wantGet(t, a, "1", "old") // valid by all that this instance knows
		r.Inject(down)
		r.follower.Reverted(start, []string{"test:0:3"})
		if n := a.Stats().Unconfirmed; n != 4 {
			t.Errorf("%d names are unconfirmed, want 3 keys and a tag", n)
		}
		wantMiss(t, a, "1")
		r.Inject(nil)
		time.Sleep(5 * time.Second)
		deliver(0)
		if st := a.Stats(); st.Unconfirmed != 0 || st.Reverts != 1 {
			t.Errorf("stats: %+v", st)
		}
		wantMiss(t, b, "1")
		wantGet(t, b, "other", "v")
	})
}

// Where the memory does not reach back, the whole cache is invalid.
func TestALossFromBeforeTheMemoryInvalidatesAll(t *testing.T) {
	for name, forget := range map[string]func(*cachetest.Server, *captured){
		"from before it began": func(*cachetest.Server, *captured) {},
		"from before a gap": func(s *cachetest.Server, r *captured) {
			r.CutLog()
			_ = s.Remote().Announce(context.Background(), "test:0:missed")
			s.TrimLog()
			r.MendLog()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				b := newInstanceWith(t, s, tagged(nil))
				invalidate(t, b, "before")
				a, r := newCaptured(t, s)
				deliver(0)
				at := r.Observed("test")
				forget(s, r)
				deliver(0)
				wantLoad(t, b, "k", constant("old"), "old")
				if name == "from before it began" {
					at = remote.Position{}
				}
				r.follower.Reverted(at, nil)
				time.Sleep(time.Second)
				deliver(0)
				if n := a.Stats().Unconfirmed; n != 0 {
					t.Errorf("%d names are unconfirmed", n)
				}
				wantMiss(t, b, "k")
			})
		})
	}
}
