package cache_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

// passOn holds key's lease, and passes it on from one holder to the next, so soon
// that no waiter gets it whose replies take a moment.
func passOn(t *testing.T, r *cachetest.Remote, holders int, each time.Duration) {
	for range holders {
		l, rec, err := r.Lease(t.Context(), remoteKey("k"), time.Hour, nil)
		if err != nil || l == nil {
			t.Errorf("Lease: %v, in the way: %v", err, rec.State)
			return
		}
		time.Sleep(each)
		if _, err := l.Release(t.Context()); err != nil {
			t.Errorf("Release: %v", err)
		}
		synctest.Wait() // the waiter's look finds no lease, and its reply is under way
	}
}

func TestWaitBoundIsOneForAllHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		a, b := s.Remote(), s.Remote()
		o := options(b)
		o.WaitTimeout = time.Second
		c := newCache(t, o)
		b.Inject(held("wait", time.Millisecond))
		var holders sync.WaitGroup
		holders.Go(func() { passOn(t, a, 10, 300*time.Millisecond) })
		defer holders.Wait()
		synctest.Wait()
		start := time.Now()
		wantLoad(t, c, "k", constant("own"), "own")
		if took := time.Since(start); took != time.Second {
			t.Errorf("the waits took %v", took)
		}
		if n := c.Stats().LeaseWaits; n != 4 {
			t.Errorf("%d waits, want one for each of four holders", n)
		}
		if s.Record(remoteKey("k")).State != remote.StateLease {
			t.Error("the lease is not its holder's any more")
		}
	})
}

// A lease that is granted when nobody is left to load for is in others' way.
func TestLeaseThatNobodyWaitsForIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := pair(t)
		a.remote.Inject(held("lease", 20*time.Millisecond))
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, leave)
		if _, err := a.GetOrLoad(ctx, "k", loading(t)); err != context.Canceled {
			t.Fatalf("GetOrLoad: %v", err)
		}
		if s.Record(remoteKey("k")).State != remote.StateLease {
			t.Fatal("there is no lease to release")
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if n := s.Len(); n != 0 {
			t.Fatalf("%d records are left", n)
		}
		start := time.Now()
		wantLoad(t, b, "k", constant("v"), "v")
		if took := time.Since(start); took > 0 {
			t.Fatalf("another instance waited %v", took)
		}
		if st := a.Stats(); st.Loads != 0 || st.RemoteErrors+st.RemoteTimeouts != 0 {
			t.Fatalf("stats: %+v", st)
		}
	})
}

// An instance whose places are all taken does not take a lease that it cannot use: another
// one, which has places, would wait for it.
func TestNoLeaseIsTakenWithoutAPlaceToLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places, slow = 4, 8 * time.Second
		s := cachetest.NewServer()
		o := options(s.Remote())
		o.MaxLoads = places
		a, b := newCache(t, o), newInstance(t, s)
		var loads sync.WaitGroup
		for i := range places { // as many misses in a row, after which the lease is taken with the look
			loads.Go(func() {
				_, _ = a.GetOrLoad(t.Context(), strconv.Itoa(i), func(context.Context, string) (string, error) {
					time.Sleep(slow)
					return "v", nil
				})
			})
		}
		synctest.Wait()
		loads.Go(func() { _, _ = a.GetOrLoad(t.Context(), "k", constant("late")) })
		synctest.Wait()
		start := time.Now()
		wantLoad(t, b, "k", constant("v"), "v")
		if took := time.Since(start); took >= slow/2 {
			t.Errorf("another instance waited %v for a load that had no place", took)
		}
		loads.Wait()
	})
}
