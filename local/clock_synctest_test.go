package local_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/local"
)

// A clock that ticks gives a reader the time of the last tick, one that stands
// the exact time. So what a read between two ticks renews an entry to tells
// whether the clock was ticking.
func TestIdleStoreStopsTicking(t *testing.T) {
	const ttl = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		start := time.Now()
		s.Add("k", 1, 1, local.Lifetime{TTL: ttl, Slides: true})
		mustHit(t, s, "k", 1) // starts a run of ticks

		read := 507 * time.Millisecond // 7 ms after a tick
		sleepUntil(start, read)
		mustHit(t, s, "k", 1)
		sleepUntil(start, read+ttl-1)
		mustMiss(t, s, "k") // renewed up to the tick, not the read: the clock ticked

		s.Add("k", 1, 1, local.Lifetime{TTL: ttl, Slides: true})
		start = time.Now()
		mustHit(t, s, "k", 1)          // may or may not start a run
		read = 2507 * time.Millisecond // long after it ended
		sleepUntil(start, read)
		mustHit(t, s, "k", 1)
		sleepUntil(start, read+ttl-1)
		mustHit(t, s, "k", 1)
	})
}

func TestNoEntryOutlivesItsTTLOverALongSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		for _, sleep := range []time.Duration{time.Second, 1010 * time.Millisecond, 1011 * time.Millisecond,
			time.Minute, time.Hour} {
			fixed := local.Lifetime{TTL: sleep}
			slides := local.Lifetime{TTL: sleep, Slides: true}
			s.Add("fixed", 1, 1, fixed)
			s.Add("slides", 2, 1, slides)
			mustHit(t, s, "fixed", 1)
			mustHit(t, s, "slides", 2)
			time.Sleep(sleep)
			mustMiss(t, s, "fixed")
			mustMiss(t, s, "slides")
			s.Add("next", 3, 1, fixed)
			mustHit(t, s, "next", 3)
			time.Sleep(sleep - 1)
			mustHit(t, s, "next", 3)
		}
	})
}

func TestEntriesAreJudgedByOneClockAcrossRunsOfTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		const ttl = 5 * time.Second
		start := time.Now()
		s.Add("k", 1, 1, local.Lifetime{TTL: ttl})
		for time.Since(start) < 6*time.Second {
			age := time.Since(start)
			if _, ok := s.Get("k"); ok != (age < ttl) {
				t.Fatalf("at age %v of %v: found %v", age, ttl, ok)
			}
			// Longer than a run at times, shorter than a tick at others.
			time.Sleep(time.Duration(age.Nanoseconds()%7)*230*time.Millisecond + 1_000_001)
		}
	})
}

// A goroutine that stayed would be a deadlock of the bubble, which waits for all
// that were started in it.
func TestStoreKeepsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			s := newStore[int, int](t, local.Options{})
			for i := range 100 {
				s.Add(i, i, 1, local.Lifetime{TTL: time.Second, Slides: true})
				mustHit(t, s, i, i)
			}
		}
	})
}
