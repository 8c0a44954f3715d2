package simulation

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/history"
)

// run starts the clients of an instance.
func (i *instance) run() {
	for range clients {
		log := i.w.history.Client()
		i.wg.Go(func() {
			for {
				select {
				case <-i.over:
					return
				case <-time.After(i.w.upTo(6 * time.Millisecond)):
				}
				i.act(log)
			}
		})
	}
}

func (i *instance) act(log *history.Client) {
	switch n := i.w.intN(100); {
	case n < 72:
		i.read(log, i.w.intN(keys))
	case n < 84:
		i.readMany(log)
	case n < 90:
		key := i.w.intN(keys - mutated)
		i.write(log, []int{key}, cache.Undelivered{Keys: []string{strconv.Itoa(key)}})
	case n < 93:
		first := i.w.intN(keys - mutated)
		written := []int{first, (first + groups) % (keys - mutated)} // of one group
		i.write(log, written, cache.Undelivered{Tags: []string{group(first)}})
	case n < 94:
		i.write(log, []int{i.w.intN(keys - mutated)}, cache.Undelivered{All: true})
	case n < 96:
		i.mutate(log, i.w.intN(keys-mutated))
	default:
		i.mutate(log, keys-1-i.w.intN(mutated))
	}
}

// patience returns the context of a read. Some callers are impatient.
func (i *instance) patience() (context.Context, context.CancelFunc) {
	if i.w.intN(20) == 0 {
		return context.WithTimeout(context.Background(), i.w.upTo(8*time.Millisecond))
	}
	return context.WithTimeout(context.Background(), time.Second+i.w.upTo(time.Second))
}

func (i *instance) read(log *history.Client, key int) {
	ctx, cancel := i.patience()
	defer cancel()
	start := i.w.now()
	v, err := i.cache.GetOrLoad(ctx, key, i.w.load)
	if err == nil {
		log.Read(history.Read{Instance: i.number, Key: keyName(key), Version: v.Version, Start: start, End: i.w.now()})
	}
}

// readMany reads some keys at once, or looks them up.
func (i *instance) readMany(log *history.Client) {
	ctx, cancel := i.patience()
	defer cancel()
	var wanted []int
	for range 1 + i.w.intN(keys) {
		wanted = append(wanted, i.w.intN(keys))
	}
	start, found := i.w.now(), map[int]value(nil)
	if i.w.intN(5) == 0 {
		found, _ = i.cache.GetMany(ctx, wanted)
	} else {
		found, _ = i.cache.GetOrLoadMany(ctx, wanted, i.w.loadMany)
	}
	end := i.w.now()
	for key, v := range found {
		log.Read(history.Read{Instance: i.number, Key: keyName(key), Version: v.Version, Start: start, End: end})
	}
}

// write commits to keys and makes the invalidation u. It repeats an invalidation that fails, at
// most 19 times.
func (i *instance) write(log *history.Client, written []int, u cache.Undelivered) {
	versions := make(map[int]int64)
	for _, key := range written {
		versions[key] = i.w.commit(log, key)
	}
	start := i.w.now()
	for range 20 {
		if i.invalidate(written, u) == nil {
			i.invalidated(log, versions, start)
			return
		}
		time.Sleep(i.w.upTo(10 * time.Millisecond))
	}
}

func (i *instance) invalidate(written []int, u cache.Undelivered) error {
	ctx := context.Background()
	switch {
	case i.w.options.Redeliver:
		u.Cache = cacheName
		return i.cache.Redeliver(ctx, u)
	case u.All:
		return i.cache.InvalidateAll(ctx)
	case u.Tags != nil:
		return i.cache.InvalidateTags(ctx, u.Tags...)
	}
	return i.cache.Invalidate(ctx, written...)
}

func (i *instance) invalidated(log *history.Client, versions map[int]int64, start int64) {
	end := i.w.now()
	for key, v := range versions {
		log.Invalidated(history.Invalidated{Instance: i.number, Key: keyName(key), Version: v, Start: start, End: end})
	}
	time.Sleep(time.Nanosecond) // reads from here on start later
}

func (i *instance) mutate(log *history.Client, key int) {
	var v, start int64
	err := i.cache.Mutate(context.Background(), []int{key}, func(context.Context) error {
		if i.isDead() {
			return errDead // a dead instance commits nothing
		}
		v, start = i.w.commit(log, key), i.w.now()
		return nil
	})
	if errors.Is(err, errDead) && v == 0 {
		return
	}
	for n := 0; err != nil && n < 20; n++ {
		time.Sleep(i.w.upTo(10 * time.Millisecond))
		err = i.cache.Invalidate(context.Background(), key)
	}
	if err == nil {
		i.invalidated(log, map[int]int64{key: v}, start)
	}
}
