package cache_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/local"
)

// TestReadsRenewUpToTheAge reads twice in each TTL: the value lives to its
// MaxAge, and not beyond.
func TestReadsRenewUpToTheAge(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.MaxAge = 4 * ttl
		c := newCache(t, o)
		start := time.Now()
		wantLoad(t, c, "k", constant("v"), "v")
		for time.Since(start) < 4*ttl-ttl/2 {
			time.Sleep(ttl / 2)
			wantGet(t, c, "k", "v")
			synctest.Wait()
		}
		time.Sleep(time.Until(start.Add(4*ttl - time.Second)))
		wantGet(t, c, "k", "v")
		time.Sleep(time.Second)
		wantMiss(t, c, "k")
	})
}

// TestLocalHitsRenewTheRemoteRecord: a key that only one instance's local tier
// is asked for outlives its TTL in the remote one.
func TestLocalHitsRenewTheRemoteRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, _ := pair(t)
		wantLoad(t, a, "k", constant("v"), "v")
		time.Sleep(ttl * 2 / 5)
		gets := a.remote.Calls("get")
		for range 100 {
			wantGet(t, a, "k", "v")
		}
		synctest.Wait()
		if n := a.remote.Calls("get") - gets; n != 0 {
			t.Fatalf("local hits sent %d gets", n)
		}
		if n := a.remote.Calls("touch"); n != 1 {
			t.Fatalf("100 local hits touched %d times, want once", n)
		}
		if rec := s.Record(remoteKey("k")); rec.Left != ttl {
			t.Fatalf("%v are left of the remote record", rec.Left)
		}
		if n := a.Stats().Touches; n != 1 {
			t.Fatalf("%d touches are counted", n)
		}
	})
}

func TestEarlyReadsDoNotTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		wantLoad(t, a, "k", constant("v"), "v")
		time.Sleep(ttl/8 - time.Second)
		wantGet(t, a, "k", "v")
		wantGet(t, b, "k", "v")
		synctest.Wait()
		if n := a.remote.Calls("touch") + b.remote.Calls("touch"); n != 0 {
			t.Fatalf("%d touches before an eighth of the TTL has gone", n)
		}
		time.Sleep(time.Second + 20*time.Millisecond) // hits may count from the last tick
		wantGet(t, b, "k", "v")
		synctest.Wait()
		if n := b.remote.Calls("touch"); n != 1 {
			t.Fatalf("%d touches when an eighth of the TTL has gone", n)
		}
	})
}

func TestFixedTTLIsNotRenewed(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.FixedTTL = true
		c := newCache(t, o)
		wantLoad(t, c, "k", constant("v"), "v")
		for range 3 {
			time.Sleep(ttl/3 - time.Nanosecond)
			wantGet(t, c, "k", "v")
		}
		time.Sleep(3 * time.Nanosecond)
		wantMiss(t, c, "k")
	})
}

func TestLocalCopyEndsWithItsTrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		o := options(a.remote)
		o.Local.TTL = time.Second
		c := a.replace(t, o)
		wantLoad(t, c, "k", constant("old"), "old")
		synctest.Wait() // the position of the cache is recorded
		a.remote.CutLog()
		invalidate(t, b, "k")
		wantLoad(t, b, "k", constant("new"), "new")
		for range 9 {
			time.Sleep(time.Second / 10)
			wantGet(t, c, "k", "old") // reads of a copy do not renew it
		}
		time.Sleep(time.Second / 10)
		wantGet(t, c, "k", "new")
	})
}

func TestLocalCopyEndsWithTheRemoteRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		o := options(b.remote)
		o.FixedTTL, o.Local.TTL = true, ttl
		c := b.replace(t, o)
		wantLoad(t, a, "k", constant("v"), "v")
		time.Sleep(ttl - time.Second)
		b.remote.Inject(slowBy(10 * time.Millisecond))
		wantGet(t, c, "k", "v")
		b.remote.Inject(nil)
		time.Sleep(time.Second - 10*time.Millisecond)
		wantMiss(t, c, "k")
	})
}

// What is left of a record, and how long a copy may be trusted, count from when the
// remote tier was asked, however late its reply is.
func TestSlowReplyDoesNotProlongACopy(t *testing.T) {
	const late = 20 * time.Millisecond
	for name, c := range map[string]struct {
		local, age, lives time.Duration // of the copy: its TTL; of the record: its age when it is read
	}{
		"ends with the record": {local: ttl, age: ttl - time.Second, lives: time.Second},
		"ends with its trust":  {local: 2 * time.Second, age: 0, lives: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				o := options(b.remote)
				o.FixedTTL, o.Local.TTL = true, c.local
				reader := b.replace(t, o)
				wantLoad(t, a, "k", constant("v"), "v")
				time.Sleep(c.age)
				asked := time.Now()
				b.remote.Inject(held("get", late))
				wantGet(t, reader, "k", "v")
				b.remote.Inject(nil)
				b.remote.CutLog() // or the entry would end the copy
				invalidate(t, a, "k")
				time.Sleep(time.Until(asked.Add(c.lives - 1)))
				wantGet(t, reader, "k", "v")
				time.Sleep(time.Nanosecond)
				wantMiss(t, reader, "k")
			})
		})
	}
}

// The same of a fill, whose reply is late: the record lives since it was sent.
func TestSlowFillDoesNotProlongTheCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, _ := pair(t)
		o := options(a.remote)
		o.FixedTTL, o.Local.TTL = true, ttl
		c := a.replace(t, o)
		sent := time.Now()
		a.remote.Inject(held("fill", 20*time.Millisecond))
		wantLoad(t, c, "k", constant("v"), "v")
		time.Sleep(time.Until(sent.Add(ttl - 1)))
		wantGet(t, c, "k", "v")
		time.Sleep(time.Nanosecond)
		if n := s.Len(); n != 0 {
			t.Fatalf("%d records", n)
		}
		wantMiss(t, c, "k")
	})
}

func TestJitterSpreadsExpiries(t *testing.T) {
	const n, jitter = 2000, 0.2
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.Jitter, o.FixedTTL = jitter, true
		c := newCache(t, o)
		for i := range n {
			wantLoad(t, c, fmt.Sprint(i), constant("v"), "v")
		}
		// A tenth of the range at a time: each tenth of the entries must go in
		// it, within what chance allows.
		time.Sleep(time.Duration((1-jitter)*float64(ttl)) - 1)
		left := alive(t, c, n)
		if left != n {
			t.Fatalf("%d of %d expired before TTL x (1 - jitter)", n-left, n)
		}
		time.Sleep(time.Nanosecond)
		for range 10 {
			time.Sleep(time.Duration(jitter * float64(ttl) / 10))
			now := alive(t, c, n)
			if went := left - now; math.Abs(float64(went)-n/10) > 60 {
				t.Errorf("%d went in a tenth of the range, want about %d", went, n/10)
			}
			left = now
		}
		if left != 0 {
			t.Errorf("%d outlived the TTL", left)
		}
	})
}

// alive asks for each key. With two tiers it asks through a fresh cache, whose
// local tier cannot hide what the remote one holds.
func alive(t *testing.T, c *cache.Cache[string, string], n int) (alive int) {
	for i := range n {
		if _, err := c.Get(t.Context(), fmt.Sprint(i)); err == nil {
			alive++
		}
	}
	return alive
}

func TestLocalTTLBoundsALocalOnlyCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(nil)
		o.Local = local.Options{TTL: time.Second}
		c := newCache(t, o)
		wantLoad(t, c, "k", constant("v"), "v")
		time.Sleep(time.Second / 2)
		wantGet(t, c, "k", "v")
		time.Sleep(time.Second / 2)
		wantMiss(t, c, "k")
	})
}

func TestMaxAgeCountsFromTheStartOfTheLoad(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.MaxAge = ttl
		c := newCache(t, o)
		slow := func(ctx, string) (string, error) {
			time.Sleep(8 * time.Second)
			return "v", nil
		}
		wantLoad(t, c, "k", slow, "v")
		for range 51 {
			time.Sleep(time.Second)
			wantGet(t, c, "k", "v")
			synctest.Wait()
		}
		time.Sleep(time.Second)
		wantMiss(t, c, "k")
	})
}
