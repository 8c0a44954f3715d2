package cache_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

var errDown = errors.New("connection refused")

func TestReadsGoOnWithoutTheRemoteTier(t *testing.T) {
	for _, op := range []string{"get", "lease", "fill"} {
		for name, fault := range map[string]cachetest.Fault{
			"fails":         {Err: errDown},
			"hangs":         {Delay: time.Hour},
			"loses replies": {Err: errDown, Applied: true},
			"hangs applied": {Delay: time.Hour, Applied: true},
		} {
			t.Run(op+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, a, _ := pair(t)
					a.remote.Inject(on(op, fault))
					start := time.Now()
					wantLoad(t, a, "k", constant("v"), "v")
					if took := time.Since(start); took > cachetest.DefaultBudget {
						t.Fatalf("the call took %v", took)
					}
					time.Sleep(2 * cachetest.DefaultBudget) // a fill that hangs goes on behind the call
					synctest.Wait()
					if op == "get" && a.remote.Calls("lease")+a.remote.Calls("fill") > 0 {
						t.Fatal("a read that failed was followed by a write")
					}
					if s := a.Stats(); s.RemoteErrors+s.RemoteTimeouts != 1 {
						t.Fatalf("stats: %+v", s)
					}
				})
			})
		}
	}
}

// A load whose fill got lost is kept if its lease stood until it was released, and
// nowhere if that is not known. Any other load without the remote tier is kept locally.
func TestWhatIsKeptWithoutTheRemoteTier(t *testing.T) {
	for ops, kept := range map[string]bool{"get": true, "lease": true, "fill": true, "fill release": false} {
		t.Run(ops, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, _ := pair(t)
				a.remote.Inject(func(op string) (f cachetest.Fault) {
					if slices.Contains(strings.Fields(ops), op) {
						f.Err = errDown
					}
					return f
				})
				wantLoad(t, a, "k", constant("v"), "v")
				if got := a.Stats().LocalEntries == 1; got != kept {
					t.Fatalf("kept: %v", got)
				}
				if !kept {
					return
				}
				wantLoad(t, a, "k", loading(t), "v")
				time.Sleep(ttl / 2) // the default of Local.TTL
				wantLoad(t, a, "k", constant("w"), "w")
			})
		})
	}
}

func TestSlowRemoteCostsTheBudgetOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		a.remote.Inject(slowBy(cachetest.DefaultBudget * 2 / 5))
		start := time.Now()
		wantLoad(t, a, "k", constant("v"), "v")
		if took := time.Since(start); took > cachetest.DefaultBudget {
			t.Fatalf("three slow commands cost %v", took)
		}
		time.Sleep(cachetest.DefaultBudget)
		wantGet(t, b, "k", "v") // the fill went on
	})
}

func TestRemoteThatFailsInAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		var src source
		finish := loadLate(t, a, &src)
		b.remote.Inject(on("wait", cachetest.Fault{Err: errDown}))
		wantLoad(t, b, "k", constant("own"), "own")
		finish()
	})
}

// A caller with less time than the budget leaves at its deadline, and the
// command goes on without it, so that a breaker can learn from it.
func TestDeadlineShorterThanTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		a.remote.Inject(on("get", cachetest.Fault{Delay: time.Hour}))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := a.Get(ctx, "k"); err != context.DeadlineExceeded || time.Since(start) != 10*time.Millisecond {
			t.Fatalf("Get: %v after %v", err, time.Since(start))
		}
	})
}

func TestInvalidateThatFailed(t *testing.T) {
	for name, fault := range map[string]cachetest.Fault{
		"refused": {Err: errDown}, "hung": {Delay: time.Hour}, "unavailable": {Err: cache.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				wantLoad(t, a, "k", constant("old"), "old")
				a.remote.Inject(on("delete", fault))
				start := time.Now()
				err := a.Invalidate(t.Context(), "k", "secret")
				var remote *cache.RemoteError
				if !errors.As(err, &remote) || remote.Op != "invalidate" || strings.Contains(err.Error(), "secret") {
					t.Fatalf("Invalidate: %v", err)
				}
				if fault.Err != nil && !errors.Is(err, fault.Err) || time.Since(start) > cachetest.DefaultBudget {
					t.Fatalf("Invalidate: %v after %v", err, time.Since(start))
				}
				if n := a.Stats().Unconfirmed; n != 2 {
					t.Fatalf("%d keys are distrusted", n)
				}
				a.remote.Inject(nil)

				// The remote tier answers again and still has the old value,
				// which this instance must not read.
				wantGet(t, b, "k", "old")
				wantMiss(t, a, "k")
				wantLoad(t, a, "k", constant("new"), "new")

				invalidate(t, a, "k", "secret")
				wantLoad(t, a, "k", constant("newest"), "newest")
				invalidate(t, b, "k")
				if n := a.Stats().Unconfirmed; n != 0 {
					t.Fatalf("%d keys are distrusted", n)
				}
			})
		})
	}
}

func TestDistrustEndsWithTheAgeOfWhatIsDistrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		_ = a.Invalidate(t.Context(), "k")
		time.Sleep(10*ttl - time.Second) // the default of MaxAge, all but
		wantLoad(t, b, "k", constant("v"), "v")
		wantMiss(t, a, "k")
		time.Sleep(time.Second)
		wantGet(t, a, "k", "v")
	})
}

func TestDistrustOfManyKeysIsDistrustOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		wantLoad(t, b, "other", constant("v"), "v")
		keys := make([]string, 10_001)
		for i := range keys {
			keys[i] = strings.Repeat("k", i)
		}
		a.remote.Inject(on("delete", cachetest.Fault{Err: errDown}))
		_ = a.Invalidate(t.Context(), keys...)
		a.remote.Inject(nil)
		wantMiss(t, a, "other")
		time.Sleep(10 * ttl)
		wantLoad(t, a, "other", constant("w"), "w")
		wantGet(t, b, "other", "w")
	})
}

func TestSetThatFailed(t *testing.T) {
	for _, op := range []string{"seize", "fill"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, _ := pair(t)
				wantLoad(t, a, "k", constant("old"), "old")
				a.remote.Inject(on(op, cachetest.Fault{Err: errDown}))
				var remote *cache.RemoteError
				if err := a.Set(t.Context(), "k", "new"); !errors.As(err, &remote) || remote.Op != "set" {
					t.Fatalf("Set: %v", err)
				}
				a.remote.Inject(nil)
				wantMiss(t, a, "k")
			})
		})
	}
}
