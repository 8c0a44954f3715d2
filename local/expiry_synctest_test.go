package local_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nearside-go/nearside/local"
)

// early is how much a sliding TTL may fall short: reads count from the last tick.
const early = 10 * time.Millisecond

// sleepUntil returns at the time that is d after start.
func sleepUntil(start time.Time, d time.Duration) { time.Sleep(time.Until(start.Add(d))) }

func TestFixedEntryExpiresExactlyAtItsTTL(t *testing.T) {
	for _, ttl := range []time.Duration{1, time.Millisecond, 249 * time.Millisecond, 251 * time.Millisecond,
		999 * time.Millisecond, 1005 * time.Millisecond, time.Hour + 3, 24 * time.Hour} {
		t.Run(fmt.Sprint(ttl), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore[string, int](t, local.Options{})
				s.Get("starts the ticks")
				time.Sleep(3 * time.Millisecond) // off the ticks
				start := time.Now()
				s.Add("k", 1, 2, local.Lifetime{TTL: ttl})
				mustHit(t, s, "k", 1)
				sleepUntil(start, ttl-1)
				mustHit(t, s, "k", 1)
				sleepUntil(start, ttl)
				mustMiss(t, s, "k")
				mustHold(t, s, 0, 0)
			})
		})
	}
}

// The reads keep the ticks up all the time, so a tick is what they could trust.
func TestEntryIsServedUntilItsEndAndNoLongerHoweverOftenItIsRead(t *testing.T) {
	for _, ttl := range []time.Duration{7 * time.Millisecond, 258 * time.Millisecond, 1777 * time.Millisecond} {
		lives := map[string]local.Lifetime{
			"fixed":           {TTL: ttl},
			"sliding, MaxAge": {TTL: time.Second, Slides: true, MaxAge: ttl},
		}
		for name, life := range lives {
			t.Run(fmt.Sprint(name, ttl), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStore[string, int](t, local.Options{})
					start := time.Now()
					s.Add("k", 1, 1, life)
					for range 2 * ttl / (500 * time.Microsecond) {
						age := time.Since(start)
						if _, ok := s.Get("k"); ok != (age < ttl) {
							t.Fatalf("at age %v of %v: found %v", age, ttl, ok)
						}
						time.Sleep(500 * time.Microsecond)
					}
				})
			})
		}
	}
}

func TestReadsRenewASlidingTTL(t *testing.T) {
	const ttl = time.Second
	life := local.Lifetime{TTL: ttl, Slides: true}
	for phase := time.Duration(0); phase < 12*time.Millisecond; phase += 700 * time.Microsecond {
		synctest.Test(t, func(t *testing.T) {
			s := newStore[string, int](t, local.Options{})
			s.Add("k", 1, 1, life)
			time.Sleep(phase)
			for range 5 {
				mustHit(t, s, "k", 1) // winds the clock
				time.Sleep(phase)
				mustHit(t, s, "k", 1)
				time.Sleep(ttl - early - 1)
			}
			mustHit(t, s, "k", 1)
			time.Sleep(ttl)
			mustMiss(t, s, "k")
		})
	}
}

// Entries near their end are judged by the machine's clock, and short ones are
// always near it.
func TestShortSlidingTTLIsExact(t *testing.T) {
	const ttl = 200 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		s.Add("k", 1, 1, local.Lifetime{TTL: ttl, Slides: true})
		for range 20 {
			time.Sleep(3 * time.Millisecond)
			mustHit(t, s, "k", 1)
			time.Sleep(ttl - 1)
			mustHit(t, s, "k", 1)
		}
		time.Sleep(ttl)
		mustMiss(t, s, "k")
	})
}

func TestReadsDoNotRenewAFixedTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{})
		s.Add("k", 1, 1, local.Lifetime{TTL: time.Second})
		time.Sleep(600 * time.Millisecond)
		mustHit(t, s, "k", 1)
		time.Sleep(600 * time.Millisecond)
		mustMiss(t, s, "k")
	})
}

func TestOptionsTTLBoundsEveryLifetime(t *testing.T) {
	const bound = time.Second
	lives := map[string]local.Lifetime{
		"fixed":                    {TTL: time.Hour},
		"sliding":                  {TTL: 700 * time.Millisecond, Slides: true},
		"sliding, a longer MaxAge": {TTL: 700 * time.Millisecond, Slides: true, MaxAge: time.Hour},
	}
	for name, life := range lives {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore[string, int](t, local.Options{TTL: bound})
				start := time.Now()
				s.Add("k", 1, 1, life)
				sleepUntil(start, bound/2)
				mustHit(t, s, "k", 1)
				sleepUntil(start, bound-1)
				mustHit(t, s, "k", 1)
				sleepUntil(start, bound)
				mustMiss(t, s, "k")
			})
		})
	}
	t.Run("a shorter lifetime stays", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore[string, int](t, local.Options{TTL: bound})
			s.Add("k", 1, 1, local.Lifetime{TTL: bound / 4})
			time.Sleep(bound / 4)
			mustMiss(t, s, "k")
		})
	})
}

func TestAddStartsEveryLifetimeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{TTL: time.Second})
		life := local.Lifetime{TTL: time.Second, Slides: true, MaxAge: time.Second}
		s.Add("k", 1, 1, life)
		time.Sleep(900 * time.Millisecond)
		s.Add("k", 2, 1, life)
		time.Sleep(time.Second - 1)
		mustHit(t, s, "k", 2)
		time.Sleep(time.Nanosecond)
		mustMiss(t, s, "k")
	})
}

func TestExpiredEntryTakesSpaceUntilItIsMetAndIsCountedThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore[string, int](t, local.Options{MaxEntries: 2})
		s.Add("a", 1, 3, local.Lifetime{TTL: time.Second})
		s.Add("b", 2, 4, local.Lifetime{TTL: time.Second})
		time.Sleep(time.Second)
		mustHold(t, s, 2, 7)
		mustMiss(t, s, "b")
		mustHold(t, s, 1, 3)
		mustMiss(t, s, "b")
		if !s.Remove("a") {
			t.Error("Remove denies an expired entry that was there")
		}
		want := local.Stats{Misses: 2, Expired: 1}
		if d := cmp.Diff(want, s.Stats()); d != "" {
			t.Errorf("Stats (-want +got):\n%s", d)
		}
	})
}
