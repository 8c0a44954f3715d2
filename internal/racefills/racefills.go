// Package racefills forces the race that leaves stale values in caches, over and
// over, and counts the times that it is lost: a load reads the source, the
// source is written to, the key is invalidated, and then the load ends and
// wants to fill.
package racefills

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/local"
)

// Result counts what was forced and what was found.
type Result struct {
	Fills   int // late fills that were forced
	Refused int // of these, fills that the lease kept out
	Doomed  int // of these, fills that a local Invalidate kept out
	Stale   int // reads afterwards, of either instance, that returned the old value
}

// String tells the counts in a line.
func (r Result) String() string {
	return fmt.Sprintf("%d stale fills forced, %d refused by the lease, %d doomed, %d old values kept",
		r.Fills, r.Refused, r.Doomed, r.Stale)
}

// Run forces n stale fills on two instances, which reach one server through a
// and b, from so many goroutines. Each has a key of its own.
func Run(ctx context.Context, a, b cache.Remote, n, goroutines int) (Result, error) {
	var instances [2]*cache.Cache[string, int]
	for i, r := range []cache.Remote{a, b} {
		c, err := cache.New(cache.Options[string, int]{
			Name: "racefills", TTL: time.Minute, Remote: r,
			MaxLoads: 2 * goroutines,
			Local:    local.Options{MaxEntries: 100 * goroutines},
		})
		if err != nil {
			return Result{}, err
		}
		defer c.Close()
		instances[i] = c
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

// force plays the race once. What chance decides is who invalidates, and whether
// another load comes in between, before the late one ends or after.
func force(ctx context.Context, instances [2]*cache.Cache[string, int], key string) (stale int, err error) {
	late, other := instances[0], instances[1]
	if rand.N(2) == 0 {
		late, other = other, late
	}
	var version atomic.Int64
	read, finish := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		v, err := late.GetOrLoad(ctx, key, func(context.Context, string) (int, error) {
			v := version.Load()
			close(read)
			<-finish
			return int(v), nil
		})
		if err == nil && v != 0 {
			err = fmt.Errorf("the late load returned %d", v)
		}
		ended <- err
	}()
	select {
	case <-read:
	case err := <-ended:
		return 0, errors.Join(errors.New("the late load did not run"), err)
	}
	version.Add(1)
	if err := instances[rand.N(2)].Invalidate(ctx, key); err != nil {
		return 0, err
	}
	fresh := func(context.Context, string) (int, error) { return int(version.Load()), nil }
	between := rand.N(3)
	if between == 0 {
		_, err = other.GetOrLoad(ctx, key, fresh)
	}
	close(finish)
	if between == 1 {
		_, err = other.GetOrLoad(ctx, key, fresh)
	}
	if err := errors.Join(err, <-ended); err != nil {
		return 0, err
	}
	for _, c := range instances {
		v, err := c.Get(ctx, key)
		if err == nil && v != 1 {
			stale++
		} else if err != nil && err != cache.ErrMiss {
			return stale, err
		}
	}
	return stale, other.Invalidate(ctx, key)
}

// Unfenced is a faulty Remote, whose leases fill whether they stand or not. With
// it Run must find old values: a check that cannot fail proves nothing.
type Unfenced struct{ cache.Remote }

// Lease takes a lease that does not fence.
func (u Unfenced) Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (cache.Lease, cache.Record, error) {
	l, rec, err := u.Remote.Lease(ctx, key, hold, replace)
	if l == nil || err != nil {
		return nil, rec, err
	}
	return &unfenced{Lease: l, remote: u.Remote, key: key}, rec, nil
}

type unfenced struct {
	cache.Lease
	remote cache.Remote
	key    string
}

// Fill fills a lease that it seizes for the purpose.
func (l *unfenced) Fill(ctx context.Context, f cache.Fill) (held bool, err error) {
	if err := l.Lease.Release(ctx); err != nil {
		return false, err
	}
	own, err := l.remote.Seize(ctx, l.key, time.Second)
	if own == nil || err != nil {
		return false, err
	}
	return own.Fill(ctx, f)
}
