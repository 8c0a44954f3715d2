package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// shielded returns an instance with StaleIfRemoteDown, whose remote tier is away from the
// moment down is called until up is called.
func shielded(t *testing.T, s *cachetest.Server, window time.Duration) (a *instance, down, up func()) {
	t.Helper()
	o := tagged(nil)
	o.FixedTTL, o.TTL, o.Local.TTL, o.StaleIfRemoteDown = true, time.Hour, ttl, window
	a = newInstanceWith(t, s, o)
	down = func() { a.remote.Inject(func(string) cachetest.Fault { return cachetest.Fault{Err: errDown} }) }
	return a, down, func() { a.remote.Inject(nil) }
}

// The local copy spares the source while the remote tier does not answer, until Local.TTL and
// the window have passed, and not for Get.
func TestStaleIfRemoteDown(t *testing.T) {
	const window = 10 * ttl
	synctest.Test(t, func(t *testing.T) {
		a, down, _ := shielded(t, cachetest.NewServer(), window)
		start := time.Now()
		wantLoad(t, a, "k", constant("old"), "old")
		down()
		time.Sleep(ttl)
		n := uint64(0)
		for ; time.Since(start) < ttl+window; time.Sleep(ttl) {
			wantAtOnce(t, a, "k", loading(t), "old")
			wantMiss(t, a, "k")
			n++
		}
		if st := a.Stats(); n < 9 || st.StaleHits != n || st.Misses != n+1 || st.Loads != 1 {
			t.Errorf("%d reads: %+v", n, st)
		}
		wantLoad(t, a, "k", constant("new"), "new") // beyond the window
		time.Sleep(2 * ttl)
		wantAtOnce(t, a, "k", loading(t), "new") // a value that was loaded in the outage
	})
}

// Without the option a copy ends with Local.TTL, and with it a value ends with its own TTL.
func TestNothingBeyondTheTTLWhileTheRemoteTierIsDown(t *testing.T) {
	for name, test := range map[string]struct{ window, ends time.Duration }{
		"no window":     {0, ttl},
		"a long window": {100 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, down, _ := shielded(t, cachetest.NewServer(), test.window)
				wantLoad(t, a, "k", constant("old"), "old")
				down()
				time.Sleep(test.ends - time.Second)
				wantAtOnce(t, a, "k", loading(t), "old")
				time.Sleep(time.Second)
				wantLoad(t, a, "k", constant("new"), "new")
			})
		})
	}
}

// A copy is not returned that this instance has invalidated, or was told of.
func TestWhatIsInvalidIsNotReturnedWhileTheRemoteTierIsDown(t *testing.T) {
	type change = func(*instance, context.Context) error
	for name, invalidate := range map[string]change{
		"Invalidate":     func(i *instance, ctx context.Context) error { return i.Invalidate(ctx, "k") },
		"InvalidateTags": func(i *instance, ctx context.Context) error { return i.InvalidateTags(ctx, "any") },
		"InvalidateAll":  func(i *instance, ctx context.Context) error { return i.InvalidateAll(ctx) },
	} {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, own %v", name, own), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := cachetest.NewServer()
					a, down, _ := shielded(t, s, 10*ttl)
					b, _, _ := shielded(t, s, 10*ttl)
					wantLoad(t, a, "k", constant("old"), "old")
					if own {
						down()
						if err := invalidate(a, t.Context()); !errors.Is(err, cache.ErrQueued) {
							t.Errorf("%v, want ErrQueued", err)
						}
					} else {
						if err := invalidate(b, t.Context()); err != nil {
							t.Error(err)
						}
						time.Sleep(time.Second) // the entry is delivered
						down()
					}
					time.Sleep(2 * ttl)
					wantLoad(t, a, "k", constant("new"), "new")
				})
			})
		}
	}
}

// The remote tier knows better while it answers, also if it answers only for a moment.
func TestARemoteTierThatIsBackIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, ask := range map[string]func(a *instance){
			"Get":       func(a *instance) { wantMiss(t, a, "k") },
			"GetOrLoad": func(a *instance) { wantError(t, a, "k", failing(errSource), errSource) },
		} {
			s := cachetest.NewServer()
			a, down, up := shielded(t, s, 10*ttl)
			wantLoad(t, a, "k", constant("old"), "old")
			down()
			time.Sleep(2 * ttl)
			wantAtOnce(t, a, "k", loading(t), "old")
			s.Corrupt(remoteKey("k")) // in place of the value
			up()
			ask(a)
			down()
			if st := a.Stats(); st.LocalEntries != 0 {
				t.Errorf("%s: %d entries are left", name, st.LocalEntries)
			}
			wantLoad(t, a, "k", constant("new"), "new")
		}
	})
}

func TestOptionsOfStaleIfRemoteDown(t *testing.T) {
	for name, o := range map[string]cache.Options[string, string]{
		"no Remote":  options(nil),
		"RemoteOnly": {Name: "test", TTL: ttl, Remote: cachetest.NewServer().Remote(), RemoteOnly: true},
	} {
		o.StaleIfRemoteDown = ttl
		if _, err := cache.New(o); err == nil || !strings.Contains(err.Error(), "StaleIfRemoteDown") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
