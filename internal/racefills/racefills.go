// Package racefills forces the race that leaves stale values in caches, many times, and
// counts how often a stale value is left. In the race a load reads the source, the source
// is written to, the key is invalidated, and then the load ends and tries to fill.
package racefills

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/local"
)

// Result has the number of forced races, and their outcomes.
type Result struct {
	Fills   int // late fills that were forced
	Refused int // of these, fills that the lease kept out
	Doomed  int // of these, fills that a local Invalidate kept out
	Stale   int // reads afterwards, on either instance or a new one, that returned the old value
}

// String returns the counts as one line.
func (r Result) String() string {
	return fmt.Sprintf("%d stale fills forced, %d refused by the lease, %d doomed, %d old values kept",
		r.Fills, r.Refused, r.Doomed, r.Stale)
}

// instance is a process: a cache, and a twin of the same name on the same remote tier. The
// twin takes leases as a second load of the process would, and is not told of invalidations.
type instance struct {
	*cache.Cache[string, int]
	twin *cache.Cache[string, int]
}

func newInstance(r remote.Tier, goroutines int) (instance, error) {
	o := cache.Options[string, int]{
		Name: "racefills", TTL: time.Minute, Remote: r,
		MaxLoads: 2 * goroutines,
		Local:    local.Options{MaxEntries: 100 * goroutines},
	}
	c, err := cache.New(o)
	if err != nil {
		return instance{}, err
	}
	o.Remote = unfollowed{r}
	twin, err := cache.New(o)
	return instance{c, twin}, err
}

// unfollowed is a Tier that delivers no entries: a name has one follower on a Tier, and the
// twin only loads.
type unfollowed struct{ remote.Tier }

// Follow does nothing.
func (unfollowed) Follow(string, remote.Follower) (stop func(), err error) { return func() {}, nil }

func (i instance) close() {
	_ = i.Close()
	_ = i.twin.Close()
}

// Run forces n stale fills on two instances, which reach one server through a and b, from
// that many goroutines. Each fill has a key of its own.
func Run(ctx context.Context, a, b remote.Tier, n, goroutines int) (Result, error) {
	var instances [2]instance
	for i, r := range []remote.Tier{a, b} {
		made, err := newInstance(r, goroutines)
		if err != nil {
			return Result{}, err
		}
		defer made.close()
		instances[i] = made
	}
	var started, stale atomic.Int64
	errs := make(chan error, goroutines)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for {
				i := started.Add(1)
				if i > int64(n) {
					return
				}
				found, err := force(ctx, instances, "key"+strconv.FormatInt(i, 10))
				if err != nil {
					errs <- err
					return
				}
				stale.Add(int64(found))
			}
		})
	}
	wg.Wait()
	close(errs)
	result := Result{Fills: n, Stale: int(stale.Load())}
	for _, c := range instances {
		s := c.Stats()
		result.Refused += int(s.RefusedFills)
		result.Doomed += int(s.DoomedFills)
	}
	return result, <-errs
}
