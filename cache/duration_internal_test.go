package cache

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nearside-go/nearside/cache/remote"
)

var anyDuration = rapid.OneOf(
	rapid.Int64Range(0, math.MaxInt64),
	rapid.SampledFrom([]int64{0, 1, 2, 1e6, 1e9, math.MaxInt64 / 10, math.MaxInt64 / 2, math.MaxInt64/2 + 1, math.MaxInt64 - 1, math.MaxInt64}),
)

func drawDuration(t *rapid.T, label string) time.Duration {
	return time.Duration(anyDuration.Draw(t, label))
}

// saturated is n as a Duration, or the nearest one in [0, longest].
func saturated(n *big.Int) time.Duration {
	switch {
	case n.Sign() < 0:
		return 0
	case !n.IsInt64():
		return longest
	}
	return time.Duration(n.Int64())
}

func TestDurationsSaturate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawDuration(t, "a"), drawDuration(t, "b")
		n := rapid.Int64Range(1, 1000).Draw(t, "n")
		x, y := big.NewInt(int64(a)), big.NewInt(int64(b))
		for _, c := range []struct {
			what      string
			got, want time.Duration
		}{
			{"sum", sum(a, b), saturated(new(big.Int).Add(x, y))},
			{"times", times(a, n), saturated(new(big.Int).Mul(x, big.NewInt(n)))},
			{"remainder", remainder(a, b), saturated(new(big.Int).Sub(x, y))},
			{"remainder of what has not begun", remainder(a, -b), a},
		} {
			if c.got != c.want {
				t.Errorf("%s of %d, %d, %d is %d, want %d", c.what, a, b, n, c.got, c.want)
			}
		}
	})
}

// TestJitterStaysInItsRange: up to what the rounding to a float64 moves.
func TestJitterStaysInItsRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, j := drawDuration(t, "d"), rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "jitter")
		c := &Cache[string, int]{opts: Options[string, int]{Jitter: j}}
		least := time.Duration(float64(d)*(1-j)*(1-1e-9)) - 1
		if got := c.jitter(d); got > d || got < least || (d > 0 && got <= 0) {
			t.Fatalf("jitter of %v by %v is %v", d, j, got)
		}
	})
}

// TestLifetimesAreNotNegative: whatever the options are, and what a record says.
func TestLifetimesAreNotNegative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options[string, int]{
			MaxAge: drawDuration(t, "MaxAge"), FixedTTL: rapid.Bool().Draw(t, "FixedTTL"),
			Jitter: rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "Jitter"),
		}
		o.Local.TTL = drawDuration(t, "Local.TTL")
		o.StaleIfError, o.StaleWhileRevalidate = drawDuration(t, "StaleIfError"), drawDuration(t, "StaleWhileRevalidate")
		if rapid.Bool().Draw(t, "two tiers") {
			o.Remote = silent{}
		}
		o.TTLOf = func(string, int) time.Duration {
			return drawDuration(t, "TTLOf") * time.Duration(rapid.SampledFrom([]int{1, -1}).Draw(t, "sign"))
		}
		c := &Cache[string, int]{opts: o}
		ago := func(label string) time.Time {
			if rapid.Bool().Draw(t, label+" never") {
				return time.Time{}
			}
			return time.Now().Add(-drawDuration(t, label))
		}
		rec := remote.Record{TTL: drawDuration(t, "TTL"), Left: drawDuration(t, "Left"), Asked: ago("Asked"), NotFound: rapid.Bool().Draw(t, "NotFound")}
		if rapid.Bool().Draw(t, "has a window") {
			rec.Window = drawDuration(t, "Window")
		}
		copied := c.copyLifetime(rec, ago("right"))
		alone := c.unfencedLifetime(drawDuration(t, "ttl"), rec.NotFound, ago("start"))
		for _, d := range []time.Duration{
			copied.Window, copied.RenewEvery, copied.RenewIn,
			alone.Window, alone.MaxAge, c.lifetime("k", 1), c.keepTags(),
		} {
			if d < 0 {
				t.Fatalf("a lifetime is negative: %+v, %+v, tags %v", copied, alone, c.keepTags())
			}
		}
		if alone.TTL < 0 && alone.Window == 0 || copied.TTL < 0 && rec.Window == 0 || copied.TTL+copied.Window > o.Local.TTL {
			t.Fatalf("a lifetime is %+v, of %+v", copied, rec)
		}
		if copied.TTL > rec.Left || copied.TTL > o.Local.TTL || alone.TTL > o.MaxAge {
			t.Fatalf("a lifetime is too long: %+v of %+v, %+v", copied, rec, alone)
		}
		if c.keepTags() < o.MaxAge {
			t.Fatalf("tags are kept for %v, with a MaxAge of %v", c.keepTags(), o.MaxAge)
		}
	})
}
