package local_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/local"
	"pgregory.net/rapid"
)

var (
	anInt64 = rapid.OneOf(
		rapid.Int64Range(0, math.MaxInt64),
		rapid.SampledFrom([]int64{0, 1, 2, 1e9, math.MaxInt64 / 4, math.MaxInt64/4 + 1, math.MaxInt64 / 2, math.MaxInt64 - 1, math.MaxInt64}),
	)
	aTime = rapid.Map(anInt64, func(n int64) time.Duration { return time.Duration(n) })
)

// TestEveryOptionInItsWholeRange: an entry is there at once, the limits hold, and it is
// gone at its end.
func TestEveryOptionInItsWholeRange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := local.Options{
			MaxEntries: int(min(anInt64.Draw(rt, "MaxEntries"), math.MaxInt)),
			MaxCost:    anInt64.Draw(rt, "MaxCost"),
			TTL:        aTime.Draw(rt, "TTL"),
		}
		life := local.Lifetime{
			TTL: max(aTime.Draw(rt, "life.TTL"), 1), MaxAge: aTime.Draw(rt, "MaxAge"), Slides: rapid.Bool().Draw(rt, "Slides"),
			RenewEvery: aTime.Draw(rt, "RenewEvery"), RenewIn: aTime.Draw(rt, "RenewIn"),
		}
		cost := anInt64.Draw(rt, "cost")
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = tryExtremes(t, o, life, cost) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func tryExtremes(t *testing.T, o local.Options, life local.Lifetime, cost int64) (problem string) {
	s := newStore[string, int](t, o)
	fits := o.MaxCost == 0 || cost <= o.MaxCost
	for i := range 2 { // a hit may change how long the entry lives
		for _, key := range []string{"first", "k"} {
			s.Add(key, i, cost, life)
			for range 2 {
				if v, ok := s.Get(key); ok != fits || (ok && v != i) {
					return "an entry is not there at once, or is although it does not fit"
				}
			}
		}
		if st := s.Stats(); o.MaxCost > 0 && (st.Cost > o.MaxCost || st.Cost < 0) || o.MaxEntries > 0 && st.Entries > o.MaxEntries {
			return "a limit does not hold"
		}
	}
	if !fits {
		return ""
	}
	end := life.TTL
	for _, bound := range []time.Duration{life.MaxAge, o.TTL} {
		if bound > 0 {
			end = min(end, bound)
		}
	}
	const farthest = 70 * 365 * 24 * time.Hour // a longer life is as good as for ever
	if end > farthest {
		return ""
	}
	time.Sleep(end - 1)
	if _, ok := s.Peek("k"); !ok {
		return "an entry is gone before its end"
	}
	time.Sleep(time.Nanosecond)
	if _, ok := s.Peek("k"); ok {
		return "an entry is there after its end"
	}
	return ""
}
