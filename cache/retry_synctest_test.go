package cache_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
)

// TestAnInvalidationThatFailedOnceIsMadeAgain: when the remote tier is well again the first
// reads load, later ones are its hits, and nothing old is ever served.
func TestAnInvalidationThatFailedOnceIsMadeAgain(t *testing.T) {
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
				if err := declare(a, t.Context()); err == nil {
					t.Fatal("no error")
				}
				for range 50 { // the server stays ill for a while
					wantLoad(t, a, "k0", src.load, "v1")
					wantLoad(t, a, "k1", src.load, "v1")
					time.Sleep(100 * time.Millisecond)
				}
				if st := a.Stats(); st.Unconfirmed == 0 && !st.AllUnconfirmed {
					t.Error("nothing is distrusted")
				}
				if n := a.remote.Calls("delete") + a.remote.Calls("append"); n > 30 {
					t.Errorf("%d attempts within 5 s, in spite of the pauses", n)
				}
				a.remote.Inject(nil)
				time.Sleep(5 * time.Second) // the longest pause
				for round := range 3 {
					before := src.loads.Load()
					for _, key := range tooMany[:keys] {
						wantLoad(t, a, key, src.load, "v1")
						synctest.Wait()
					}
					if n := src.loads.Load() - before; round == 2 && n != 0 {
						t.Errorf("in the third round %d of %d reads load", n, keys)
					}
				}
				time.Sleep(time.Second) // recordings of tags
				if st := a.Stats(); st.Unconfirmed != 0 && name != "of too many" || st.AllUnconfirmed || st.Background != 0 {
					t.Errorf("stats: %+v", st)
				}
				for _, key := range tooMany[:keys] {
					wantLoad(t, b, key, src.load, "v1")
				}
			})
		})
	}
}

// TestASecondFailureDuringAnAttemptStays: an attempt that began before a newer failure
// does not make the key trusted.
func TestASecondFailureDuringAnAttemptStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		wantLoad(t, b, "k", constant("old"), "old")
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		_ = a.Invalidate(t.Context(), "k")
		a.remote.Inject(held("delete", 20*time.Millisecond))
		wantMiss(t, a, "k") // the attempt deletes, and is slow to return
		synctest.Wait()
		wantLoad(t, newInstance(t, s), "k", constant("older"), "older")
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		if err := a.Invalidate(t.Context(), "k"); err == nil {
			t.Fatal("no error")
		}
		deliver(30 * time.Millisecond)
		if n := a.Stats().Unconfirmed; n != 1 {
			t.Errorf("%d keys are distrusted, want 1", n)
		}
		wantMiss(t, a, "k")
		deliver(time.Second)
	})
}

// TestAttemptsAreBounded: side by side, and each is counted as background work.
func TestAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		keys := make([]string, 100)
		for i := range keys {
			keys[i] = fmt.Sprint(i)
		}
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		_ = a.Invalidate(t.Context(), keys...)
		before := a.remote.Calls("delete")
		a.remote.Inject(held("delete", 20*time.Millisecond))
		for range 3 {
			for _, key := range keys {
				wantMiss(t, a, key)
			}
		}
		synctest.Wait()
		if n, running := a.remote.Calls("delete")-before, a.Stats().Background; n != 16 || running != 16 {
			t.Errorf("%d attempts began, %d run, want 16", n, running)
		}
		_ = a.Close()
		if n := a.Stats().Background; n != 0 {
			t.Errorf("%d attempts run after Close", n)
		}
	})
}
