package cache_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/local"
)

// farthest is how far a test lets time pass: a bubble's clock ends in the year 2262.
const farthest = 200 * 365 * 24 * time.Hour

var (
	aDuration = rapid.Map(rapid.OneOf(
		rapid.Int64Range(1, math.MaxInt64),
		rapid.SampledFrom([]int64{
			1, 2, 7, 8, 1e6 - 1, 1e6, 1e9, 3600e9, int64(15 * 365 * 24 * time.Hour),
			math.MaxInt64 / 10, math.MaxInt64/10 + 1, math.MaxInt64 / 4, math.MaxInt64 / 2, math.MaxInt64/2 + 1,
			math.MaxInt64 - 1, math.MaxInt64,
		}),
	), func(n int64) time.Duration { return time.Duration(n) })
	aWindow = rapid.OneOf(rapid.Just(time.Duration(0)), aDuration)
	aCount  = rapid.SampledFrom([]int{0, 1, 2, 1000, math.MaxInt32, math.MaxInt - 1, math.MaxInt})
)

// drawOptions draws every option from its whole range.
func drawOptions(t *rapid.T) cache.Options[string, string] {
	o := cache.Options[string, string]{
		Name: "test", Tags: words,
		TTL:           aDuration.Draw(t, "TTL"),
		FixedTTL:      rapid.Bool().Draw(t, "FixedTTL"),
		NotFoundTTL:   aWindow.Draw(t, "NotFoundTTL"),
		Jitter:        rapid.OneOf(rapid.SampledFrom([]float64{0, 5e-324, math.Nextafter(1, 0)}), rapid.Float64Range(0, 0.999)).Draw(t, "Jitter"),
		LoadTimeout:   aWindow.Draw(t, "LoadTimeout"),
		WaitTimeout:   aWindow.Draw(t, "WaitTimeout"),
		MutateTimeout: aWindow.Draw(t, "MutateTimeout"),
		HoldOff:       aWindow.Draw(t, "HoldOff"),
		StaleIfError:  aWindow.Draw(t, "StaleIfError"),
		MaxLoads:      aCount.Draw(t, "MaxLoads"),
		Schema:        aCount.Draw(t, "Schema"),
		Local: local.Options{
			MaxEntries: aCount.Draw(t, "MaxEntries"),
			MaxCost:    int64(aCount.Draw(t, "MaxCost")),
			TTL:        aWindow.Draw(t, "Local.TTL"),
		},
	}
	o.StaleWhileRevalidate = aWindow.Draw(t, "StaleWhileRevalidate")
	if rapid.Bool().Draw(t, "has a MaxAge") {
		o.MaxAge = time.Duration(rapid.Int64Range(int64(o.TTL), math.MaxInt64).Draw(t, "MaxAge"))
	}
	return o
}

// TestEveryOptionInItsWholeRange: with any of the values that New takes, the cache does
// what it promises.
func TestEveryOptionInItsWholeRange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := drawOptions(rt)
		s := cachetest.NewServer()
		s.Budget = aDuration.Draw(rt, "Budget")
		remote := rapid.Bool().Draw(rt, "two tiers")
		var err error
		synctest.Test(t, func(t *testing.T) { err = extremes{t.Context(), o, s}.check(remote) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// extremes is a cache of some options at work.
type extremes struct {
	ctx
	o cache.Options[string, string]
	s *cachetest.Server
}

// check makes the cache and returns the first promise that it does not keep.
func (e extremes) check(remote bool) error {
	defer synctest.Wait()
	var r *cachetest.Remote
	if remote {
		r = e.s.Remote()
		e.o.Remote = r
	}
	c, err := cache.New(e.o)
	if err != nil {
		return err
	}
	defer c.Close()
	pause := min(e.o.HoldOff, farthest/4)
	time.Sleep(pause) // an instance that starts stores nothing for so long
	if err := e.loads(c, "first"); err != nil {
		return err
	}
	if remote && e.stores() {
		if err := e.records(r); err != nil {
			return err
		}
	}
	if err := e.mutates(c); err != nil {
		return err
	}
	time.Sleep(pause)
	if err := e.loads(c, "second"); err != nil {
		return err
	}
	if err := c.InvalidateTags(e.ctx, "any"); err != nil {
		return err
	}
	return misses(e.ctx, c)
}

// stores reports whether the HoldOff is over after the pauses of check.
func (e extremes) stores() bool { return e.o.HoldOff <= farthest/4 }

func (e extremes) loads(c getter, v string) error {
	if got, err := c.GetOrLoad(e.ctx, "k", constant(v)); got != v || err != nil {
		return fmt.Errorf("GetOrLoad: %q, %v; want %q", got, err, v)
	}
	if got, err := c.Get(e.ctx, "k"); e.stores() && (got != v || err != nil) {
		return fmt.Errorf("Get at once: %q, %v; want %q", got, err, v)
	}
	return nil
}

// records wants the positions of the tags to be there for as long as MaxAge.
func (e extremes) records(r *cachetest.Remote) error {
	synctest.Wait()
	passes := min(max(e.o.MaxAge, e.o.TTL)-1, farthest/4)
	time.Sleep(passes)
	at, err := r.TagPositions(e.ctx, "test::", "test::any")
	if err != nil || at[0] == nil || at[1] == nil {
		return fmt.Errorf("after %v the positions of the tags are %v, %v", passes, at, err)
	}
	return nil
}

// mutates wants a tombstone for as long as MutateTimeout, and a miss afterwards.
func (e extremes) mutates(c *cache.Cache[string, string]) error {
	var rec remote.Record
	err := c.Mutate(e.ctx, []string{"k"}, func(context.Context) error {
		rec = e.s.Record("test:" + strconv.Itoa(e.o.Schema) + ":k")
		return nil
	})
	if err != nil {
		return fmt.Errorf("Mutate: %w", err)
	}
	least := cmp.Or(e.o.MutateTimeout, cache.DefaultMutateTimeout)
	if e.o.Remote != nil && (rec.State != remote.StateTombstone || rec.Left < least) {
		return fmt.Errorf("during the Mutate the record is %v, for %v, want a tombstone for %v", rec.State, rec.Left, least)
	}
	return misses(e.ctx, c)
}

func misses(ctx ctx, c getter) error {
	if got, err := c.Get(ctx, "k"); err != cache.ErrMiss {
		return fmt.Errorf("Get: %q, %v; want a miss", got, err)
	}
	return nil
}
