package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// An invalidation that the remote tier did not take is made in the background. Nobody has to
// read the keys: another instance, which does not know, reads the new value soon after the
// remote tier is well again.
func TestAFailedInvalidationIsMadeInTheBackground(t *testing.T) {
	const keys = 20
	tooMany := make([]string, 10_001)
	for i := range tooMany {
		tooMany[i] = fmt.Sprint("k", i)
	}
	for name, declare := range map[string]func(*instance, ctx) error{
		"Invalidate":     func(a *instance, c ctx) error { return a.Invalidate(c, tooMany[:keys]...) },
		"of too many":    func(a *instance, c ctx) error { return a.Invalidate(c, tooMany...) },
		"InvalidateTags": func(a *instance, c ctx) error { return a.InvalidateTags(c, "any") },
		"InvalidateAll":  func(a *instance, c ctx) error { return a.InvalidateAll(c) },
		"Set": func(a *instance, c ctx) error {
			var err error
			for _, key := range tooMany[:keys] {
				err = errors.Join(err, a.Set(c, key, "unsent"))
			}
			return err
		},
		"Mutate": func(a *instance, c ctx) error {
			return a.Mutate(c, tooMany[:keys], func(context.Context) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewServer()
				o := tagged(nil)
				o.Local.MaxEntries = 1 // the remote tier has to answer
				a, b := newInstanceWith(t, s, o), newInstanceWith(t, s, o)
				var src source
				for _, key := range tooMany[:keys] {
					wantLoad(t, b, key, src.load, "v0")
				}
				src.write()
				a.remote.Inject(down)
				if err := declare(a, t.Context()); !errors.Is(err, cache.ErrQueued) {
					t.Fatalf("%v, want an error that says that the invalidation is queued", err)
				}
				for range 50 { // the remote tier stays ill for a while
					wantLoad(t, a, "k0", src.load, "v1")
					wantLoad(t, a, "k1", src.load, "v1")
					time.Sleep(100 * time.Millisecond)
				}
				if st := a.Stats(); st.Unconfirmed == 0 || st.AllUnconfirmed != (name == "of too many") {
					t.Errorf("stats: %+v", st)
				}
				if n := a.remote.Calls("delete") + a.remote.Calls("append"); n > 20*keys {
					t.Errorf("%d attempts within 5 s, in spite of the pauses", n)
				}
				a.remote.Inject(nil)
				time.Sleep(5 * time.Second) // the longest pause
				deliver(time.Second)
				if st := a.Stats(); st.Unconfirmed != 0 || st.AllUnconfirmed || st.Background != 0 {
					t.Errorf("stats: %+v", st)
				}
				for _, key := range tooMany[:keys] {
					wantLoad(t, b, key, src.load, "v1")
				}
				for _, key := range tooMany[:keys] {
					wantLoad(t, a, key, loading(t), "v1")
				}
			})
		})
	}
}

// When the remote tier serves again, it is told at once of what it has missed.
func TestQueuedInvalidationsAreMadeWhenTheRemoteTierRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		wantLoad(t, b, "k", constant("old"), "old")
		a.remote.Inject(on("delete", cachetest.Fault{Err: cache.ErrUnavailable}))
		_ = a.Invalidate(t.Context(), "k")
		time.Sleep(30 * time.Second) // the pauses are long now
		a.remote.Inject(nil)
		a.remote.Recover(t.Context())
		if n := a.Stats().Unconfirmed; n != 0 {
			t.Errorf("%d keys are unconfirmed", n)
		}
		deliver(0)
		wantMiss(t, b, "k")
	})
}

// An attempt that began before a newer failure does not confirm the key.
func TestASecondFailureDuringAnAttemptStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		wantLoad(t, b, "k", constant("old"), "old")
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		_ = a.Invalidate(t.Context(), "k")
		a.remote.Inject(held("delete", 20*time.Millisecond))
		recovered := make(chan struct{})
		go func() { // the attempt deletes, and is slow to return
			a.remote.Recover(t.Context())
			close(recovered)
		}()
		synctest.Wait()
		wantLoad(t, newInstance(t, s), "k", constant("older"), "older")
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		if err := a.Invalidate(t.Context(), "k"); err == nil {
			t.Fatal("no error")
		}
		<-recovered
		if n := a.Stats().Unconfirmed; n != 1 {
			t.Errorf("%d keys are unconfirmed, want 1", n)
		}
		wantMiss(t, a, "k")
	})
}

// Close says what it could not deliver, within a few budgets: to DeadLetters, or to its caller.
func TestCloseDuringAnOutageSaysWhatIsUndelivered(t *testing.T) {
	for name, fault := range map[string]cachetest.Fault{
		"refused": {Err: errDown}, "hung": {Delay: time.Hour}, "unavailable": {Err: cache.ErrUnavailable},
	} {
		for _, hooked := range []bool{true, false} {
			t.Run(name+either(hooked, ", DeadLetters", ""), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { closeInAnOutage(t, fault, hooked) })
			})
		}
	}
}

func closeInAnOutage(t *testing.T, fault cachetest.Fault, hooked bool) {
	s := cachetest.NewServer()
	var letters []cache.Undelivered
	o := tagged(nil)
	o.Schema = 3
	if hooked {
		o.DeadLetters = func(_ context.Context, u cache.Undelivered) { letters = append(letters, u) }
	}
	a := newInstanceWith(t, s, o)
	a.remote.Inject(func(string) cachetest.Fault { return fault })
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprintf("%03d", i))
	}
	_ = a.Invalidate(t.Context(), keys...)
	_ = a.InvalidateTags(t.Context(), "t")
	start := time.Now()
	err := a.Close()
	if took := time.Since(start); took > 5*cachetest.DefaultBudget {
		t.Errorf("Close took %v", took)
	}
	if again := a.Close(); again != err {
		t.Errorf("Close: %v, and again: %v", err, again)
	}
	var returned *cache.Undelivered
	if errors.As(err, &returned) {
		letters = append(letters, *returned)
	}
	if hooked != (err == nil) || len(letters) != 1 {
		t.Fatalf("Close: %v, %d letters", err, len(letters))
	}
	left := letters[0]
	slices.Sort(left.Keys)
	if want := (cache.Undelivered{Cache: "test", Schema: 3, Keys: keys, Tags: []string{"t"}}); !cmp.Equal(left, want) {
		t.Errorf("undelivered: %+v", left)
	}
}

// Close delivers what it can.
func TestCloseDeliversWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		wantLoad(t, b, "k", constant("old"), "old")
		a.remote.Inject(down)
		_ = a.Invalidate(t.Context(), "k")
		_ = a.InvalidateAll(t.Context())
		a.remote.Inject(nil)
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		deliver(0)
		wantMiss(t, b, "k")
	})
}

// Names that were too many to be kept are dead letters, and the whole cache is invalidated
// in their place.
func TestTooManyKeysAreDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var letters []cache.Undelivered
		o := options(nil)
		o.DeadLetters = func(_ context.Context, u cache.Undelivered) { letters = append(letters, u) }
		a := newInstanceWith(t, cachetest.NewServer(), o)
		a.remote.Inject(down)
		keys := make([]string, 10_001)
		for i := range keys {
			keys[i] = fmt.Sprint(i)
		}
		_ = a.Invalidate(t.Context(), keys[:10_000]...)
		if len(letters) != 0 {
			t.Fatal("10,000 keys are too many")
		}
		_ = a.Invalidate(t.Context(), keys[10_000:]...)
		if len(letters) != 1 || len(letters[0].Keys) != 10_001 || letters[0].All {
			t.Fatalf("%d dead letters", len(letters))
		}
		if err := a.Close(); err != nil || len(letters) != 2 || !letters[1].All || len(letters[1].Keys) != 0 {
			t.Errorf("Close: %v, and %d dead letters", err, len(letters))
		}
	})
}

// What the server's configuration forbids is told from what is queued.
func TestARefusedInvalidationIsNotCalledQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		a.remote.Inject(on("delete", cachetest.Fault{Err: fmt.Errorf("no: %w", cache.ErrRefused)}))
		if err := a.Invalidate(t.Context(), "k"); !errors.Is(err, cache.ErrRefused) || errors.Is(err, cache.ErrQueued) {
			t.Errorf("Invalidate: %v", err)
		}
		wantMiss(t, a, "k")
		a.remote.Inject(nil) // somebody changes the configuration
		time.Sleep(5 * time.Second)
		if n := a.Stats().Unconfirmed; n != 0 {
			t.Errorf("%d keys are unconfirmed", n)
		}
	})
}
