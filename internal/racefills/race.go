package racefills

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/nearside-go/nearside/cache"
)

// race is one run of the race, with a key of its own.
type race struct {
	late, other instance
	key         string
	version     atomic.Int64 // of the source
}

// force runs the race once. The late instance, the invalidating instance, and the events
// before the end of the late load are random.
func force(ctx context.Context, instances [2]instance, key string) (stale int, err error) {
	i := rand.N(2)
	r := &race{late: instances[i], other: instances[1-i], key: key}
	late, err := r.begin(ctx, r.late.Cache)
	if err != nil {
		return 0, err
	}
	defer late.letGo()
	r.version.Add(1)
	if err := instances[rand.N(2)].Invalidate(ctx, key); err != nil {
		return 0, err
	}
	if err := endings[rand.N(len(endings))](r, ctx, late); err != nil {
		return 0, err
	}
	if stale, err = r.count(ctx); err != nil {
		return stale, err
	}
	return stale, r.other.Invalidate(ctx, key)
}

// endings are the possible events between the Invalidate and the late fill.
var endings = []func(*race, context.Context, *load) error{
	(*race).nothingHappens, (*race).otherLoads, (*race).otherLoadsBeside, (*race).lateInstanceLoads,
}

func (r *race) nothingHappens(_ context.Context, late *load) error { return late.end() }

func (r *race) otherLoads(ctx context.Context, late *load) error {
	return errors.Join(r.load(ctx), late.end())
}

func (r *race) otherLoadsBeside(ctx context.Context, late *load) error {
	late.letGo()
	return errors.Join(r.load(ctx), late.end())
}

// lateInstanceLoads makes the instance of the late load take the key's lease again: the
// record is then a lease of the same instance, but of another load. The twin takes the
// lease, because a cache lets its callers share a load that it has not doomed.
func (r *race) lateInstanceLoads(ctx context.Context, late *load) error {
	again, err := r.begin(ctx, r.late.twin)
	if err != nil {
		return err
	}
	return errors.Join(late.end(), again.end())
}

// load makes the other instance load the current version.
func (r *race) load(ctx context.Context) error {
	_, err := r.other.GetOrLoad(ctx, r.key, func(context.Context, string) (int, error) { return int(r.version.Load()), nil })
	return err
}

// load is a load that has read the source, and ends when it is let go.
type load struct {
	letGo func() // may be called again
	ended chan error
}

// begin starts a load on c, and returns when the load has read the source.
func (r *race) begin(ctx context.Context, c *cache.Cache[string, int]) (*load, error) {
	read, finish := make(chan struct{}), make(chan struct{})
	l := &load{letGo: sync.OnceFunc(func() { close(finish) }), ended: make(chan error, 1)}
	want := int(r.version.Load())
	go func() {
		v, err := c.GetOrLoad(ctx, r.key, func(context.Context, string) (int, error) {
			v := int(r.version.Load())
			close(read)
			<-finish
			return v, nil
		})
		if err == nil && v != want {
			err = fmt.Errorf("a load of version %d returned %d", want, v)
		}
		l.ended <- err
	}()
	select {
	case <-read:
		return l, nil
	case err := <-l.ended:
		return nil, errors.Join(errors.New("a load did not run"), err)
	}
}

// end lets the load go, and returns when its caller has the result.
func (l *load) end() error {
	l.letGo()
	return <-l.ended
}

// count reads the key, and returns the number of old values. Both instances remember the
// invalidation, and refuse a record from before it. The other's twin does not know of it, as
// an instance that has just started.
func (r *race) count(ctx context.Context) (stale int, err error) {
	for _, c := range []*cache.Cache[string, int]{r.late.Cache, r.other.Cache, r.other.twin} {
		v, err := c.Get(ctx, r.key)
		if err == nil && v != 1 {
			stale++
		} else if err != nil && err != cache.ErrMiss {
			return stale, err
		}
	}
	return stale, nil
}
