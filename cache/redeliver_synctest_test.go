package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// letters are the Undelivered that name the key "k", in each of its ways. All values of words have
// the tag "any".
var letters = map[string]cache.Undelivered{
	"key": {Cache: "test", Keys: []string{"other", "k"}},
	"tag": {Cache: "test", Tags: []string{"other", "any"}},
	"all": {Cache: "test", All: true},
}

// redelivered runs a test with each of letters, for a cache whose keys are parsed, and for one
// whose keys have to be looked up by their names.
func redelivered(t *testing.T, test func(*testing.T, *cachetest.Server, func() *instance, cache.Undelivered)) {
	for kind, key := range map[string]func(string) string{
		"": nil, "Options.Key ": func(k string) string { return "=" + k },
	} {
		for way, u := range letters {
			t.Run(kind+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := cachetest.NewServer()
					o := tagged(nil)
					if o.Key = key; key != nil && u.Keys != nil {
						u.Keys = []string{"=other", "=k"}
					}
					test(t, s, func() *instance { return newInstanceWith(t, s, o) }, u)
				})
			})
		}
	}
}

func redeliver(t *testing.T, c interface {
	Redeliver(context.Context, cache.Undelivered) error
}, u cache.Undelivered) {
	t.Helper()
	if err := c.Redeliver(t.Context(), u); err != nil {
		t.Fatalf("Redeliver: %v", err)
	}
}

// The invalidations of an instance that is gone reach the instance that redelivers them, the
// others, and the remote tier, and as often as they are redelivered.
func TestRedeliveredInvalidationsReachAll(t *testing.T) {
	redelivered(t, func(t *testing.T, s *cachetest.Server, open func() *instance, u cache.Undelivered) {
		a, b := open(), open()
		for _, v := range []string{"v0", "v1", "v2"} {
			wantLoad(t, a, "k", constant(v), v)
			wantLoad(t, b, "k", loading(t), v)
			redeliver(t, a, u)
			wantMiss(t, a, "k")
			deliver(0)
			wantMiss(t, b, "k")
			wantMiss(t, open(), "k")
		}
		if st := a.Stats(); st.Unconfirmed != 0 {
			t.Errorf("stats: %+v", st)
		}
	})
}

// A load that began before the redelivery is stored in no tier, and no later call joins it: of
// the instance that redelivers, and of another.
func TestRedeliverDuringLoad(t *testing.T) {
	redelivered(t, func(t *testing.T, s *cachetest.Server, open func() *instance, u cache.Undelivered) {
		a, b := open(), open()
		for _, by := range []*instance{a, b} {
			var src source
			finish := loadLate(t, a, &src)
			src.write()
			redeliver(t, by, u)
			deliver(0)
			if v := finish(); v != "v0" {
				t.Fatalf("the waiter got %q", v)
			}
			synctest.Wait() // the fill
			wantMiss(t, a, "k")
			wantMiss(t, b, "k")
			wantLoad(t, a, "k", src.load, "v1")
			redeliver(t, by, u)
			deliver(0)
		}
	})
}

// A call that begins after the redelivery does not join a load from before.
func TestNoCallJoinsALoadFromBeforeARedelivery(t *testing.T) {
	redelivered(t, func(t *testing.T, s *cachetest.Server, open func() *instance, u cache.Undelivered) {
		a := open()
		var src source
		finish := loadLate(t, a, &src)
		src.write()
		redeliver(t, a, u)
		later := call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", src.load) })
		synctest.Wait()
		finish()
		if v := <-later; v != "v1" {
			t.Errorf("the later call got %q", v)
		}
	})
}

// A read of the remote tier that is under way leaves no copy, whether it has begun before
// Redeliver, or before the remote tier has changed.
func TestRedeliverDuringRemoteRead(t *testing.T) {
	redelivered(t, func(t *testing.T, s *cachetest.Server, open func() *instance, u cache.Undelivered) {
		a, b := open(), open()
		wantLoad(t, b, "k", constant("old"), "old")
		const late = cachetest.DefaultBudget / 5
		a.remote.Inject(func(op string) cachetest.Fault {
			switch op {
			case "get": // it has read the old value at 0, and returns at 3
				return cachetest.Fault{Hold: 3 * late}
			case "delete", "append", "record": // they arrive at 1
				return cachetest.Fault{Delay: late}
			}
			return cachetest.Fault{}
		})
		done := make(chan error, 1)
		go func() { done <- a.Redeliver(t.Context(), u) }()
		synctest.Wait() // it has dropped what there was
		read := call(t, func() (string, error) { return a.Get(t.Context(), "k") })
		if err := <-done; err != nil {
			t.Fatalf("Redeliver: %v", err)
		}
		<-read
		a.remote.Inject(nil)
		wantMiss(t, a, "k")
	})
}

// A stale value is not returned after the redelivery of its invalidation, although its load fails.
func TestNoWindowAfterARedelivery(t *testing.T) {
	for way, u := range letters {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := tagged(nil)
				o.StaleIfError = time.Hour
				a := newInstanceWith(t, cachetest.NewServer(), o)
				wantLoad(t, a, "k", constant("old"), "old")
				time.Sleep(2 * ttl)
				wantLoad(t, a, "k", failing(errSource), "old")
				redeliver(t, a, u)
				if v, err := a.GetOrLoad(t.Context(), "k", failing(errSource)); err != errSource {
					t.Errorf("GetOrLoad: %q, %v", v, err)
				}
			})
		})
	}
}

// HoldOff counts from the redelivery, on the instance that redelivers, too: here its reads of the
// remote tier fail, so that no tombstone tells.
func TestHoldOffCountsFromTheRedelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(nil)
		o.HoldOff = time.Second
		a := newInstanceWith(t, cachetest.NewServer(), o)
		time.Sleep(2 * time.Second) // it has long been there
		redeliver(t, a, letters["key"])
		a.remote.Inject(on("get", cachetest.Fault{Err: errDown}))
		wantLoad(t, a, "k", constant("of a replica"), "of a replica")
		wantLoad(t, a, "k", constant("new"), "new")
		time.Sleep(time.Second)
		wantLoad(t, a, "k", constant("newer"), "newer")
		wantLoad(t, a, "k", loading(t), "newer")
	})
}

// A failed Redeliver leaves the letter with its caller: it queues nothing, which Close would
// make a second letter of.
func TestAFailedRedeliveryIsNotQueued(t *testing.T) {
	redelivered(t, func(t *testing.T, s *cachetest.Server, open func() *instance, u cache.Undelivered) {
		a, b := open(), open()
		wantLoad(t, b, "k", constant("old"), "old")
		a.remote.Inject(down)
		var failed *cache.RemoteError
		err := a.Redeliver(t.Context(), u)
		if !errors.As(err, &failed) || failed.Op != "redeliver" || failed.Cache != "test" || errors.Is(err, cache.ErrQueued) {
			t.Errorf("Redeliver: %v", err)
		}
		if n := a.Stats().Unconfirmed; n != 0 {
			t.Errorf("%d keys and tags are unconfirmed", n)
		}
		a.remote.Inject(nil)
		redeliver(t, a, u)
		deliver(0)
		wantMiss(t, b, "k")
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// A redelivery confirms what this instance has queued itself.
func TestARedeliveryConfirmsWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newInstanceWith(t, cachetest.NewServer(), tagged(nil))
		a.remote.Inject(down)
		_, _ = a.Invalidate(t.Context(), "k"), a.InvalidateTags(t.Context(), "any")
		a.remote.Inject(nil)
		redeliver(t, a, cache.Undelivered{Cache: "test", Keys: []string{"k"}, Tags: []string{"any"}})
		if n := a.Stats().Unconfirmed; n != 0 {
			t.Errorf("%d keys and tags are unconfirmed", n)
		}
	})
}

// An instance of another Schema redelivers the keys of the Schema that they were of, and keeps
// its own. It makes no letter of them, which would name keys of its own Schema, when the server has
// lost them: neither of what it remembers nor of what the Tier has found to be lost.
func TestRedeliverOfAnotherSchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		o := tagged(nil)
		o.Schema = 1
		old := newInstanceWith(t, s, o)
		a, r := newCaptured(t, s, func(o *cache.Options[string, string]) { o.Schema = 2 })
		wantLoad(t, old, "k", constant("v1"), "v1")
		wantLoad(t, a, "k", constant("v2"), "v2")
		redeliver(t, a, cache.Undelivered{Cache: "test", Schema: 1, Keys: []string{"k"}})
		deliver(0)
		wantMiss(t, old, "k")
		wantLoad(t, a, "k", loading(t), "v2")

		r.Inject(down)
		to := r.Observed("test")
		to.Time--
		r.follower.Reverted(to, nil)
		if n := a.Stats().Unconfirmed; n != 0 {
			t.Errorf("%d keys and tags are unconfirmed", n)
		}
		r.follower.Reverted(to, []string{"test:1:k"})
		if n := a.Stats().Unconfirmed; n != 1 {
			t.Errorf("%d keys and tags are unconfirmed, want the one that was lost", n)
		}
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestRedeliverWithoutARemote(t *testing.T) {
	for way, u := range letters {
		t.Run(way, func(t *testing.T) {
			o := tagged(nil)
			c := newCache(t, o)
			loadOutside(t, c, "k", constant("v"), "v")
			redeliver(t, c, u)
			wantMiss(t, c, "k")
		})
	}
}

func TestRedeliverRefuses(t *testing.T) {
	s := cachetest.NewServer()
	c := newCache(t, tagged(s.Remote()))
	loadOutside(t, c, "k", constant("v"), "v")
	for _, u := range []cache.Undelivered{
		{}, {Cache: "another", Keys: []string{"k"}, All: true}, {Cache: "test", Keys: []string{"k"}, Tags: []string{""}},
	} {
		if err := c.Redeliver(t.Context(), u); err == nil || strings.Contains(err.Error(), `"k"`) {
			t.Errorf("Redeliver of %+v: %v", u, err)
		}
	}
	wantGet(t, c, "k", "v")
	redeliver(t, c, cache.Undelivered{Cache: "test"}) // of nothing
	_ = c.Close()
	if err := c.Redeliver(t.Context(), letters["key"]); err != cache.ErrClosed {
		t.Errorf("Redeliver of a closed Cache: %v", err)
	}
}

// Keys and tags are any bytes, and come back from JSON as they were. Text stays legible.
func TestUndeliveredIsJSON(t *testing.T) {
	for _, u := range []cache.Undelivered{
		{Cache: "test", Schema: 2, Keys: []string{"k", "", "\x00<&\u2028"}, Tags: []string{"t", "é"}},
		{Cache: "test", Keys: []string{"text", "\xff\xfe", "a\x80"}, Tags: []string{"\xc3"}},
		{Cache: "test", All: true},
		{},
	} {
		data, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		byPointer, err := json.Marshal(&u)
		if err != nil || string(byPointer) != string(data) {
			t.Errorf("%s, and of a pointer %s, %v", data, byPointer, err)
		}
		got := cache.Undelivered{Keys: []string{"from before"}}
		if err := json.Unmarshal(data, &got); err != nil || !cmp.Equal(got, u) {
			t.Errorf("%s: %v %s", data, err, cmp.Diff(u, got))
		}
	}
	data, _ := json.Marshal(cache.Undelivered{Cache: "users", Schema: 1, Keys: []string{"7"}, Tags: []string{"t"}})
	if want := `{"Cache":"users","Schema":1,"Keys":["7"],"Tags":["t"]}`; string(data) != want {
		t.Errorf("%s, want %s", data, want)
	}
	var u cache.Undelivered
	if json.Unmarshal([]byte(`{"Keys":7}`), &u) == nil {
		t.Error("no error for a number of keys")
	}
}
