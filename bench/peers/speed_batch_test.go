package peers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
)

var batchSizes = []int{10, 100, 1000}

// batcher gets many keys: a library, or the code of a service without a library.
type batcher struct {
	name    string
	getMany func(ctx context.Context, keys []string) (map[string]peers.User, error)
	rest    func()            // waits for fills in the background; nil for none
	server  *redistest.Server // nil for none

	read   int          // keys
	loaded atomic.Int64 // keys
}

func (b *batcher) get(ctx context.Context, keys []string) error {
	b.read += len(keys)
	us, err := b.getMany(ctx, keys)
	if err == nil && len(us) != len(keys) {
		err = fmt.Errorf("%d of %d keys", len(us), len(keys))
	}
	return err
}

func (b *batcher) load(context.Context, string) (peers.User, error) {
	b.loaded.Add(1)
	return sample, nil
}

func (b *batcher) loadMany(_ context.Context, keys []string) (map[string]peers.User, error) {
	b.loaded.Add(int64(len(keys)))
	us := make(map[string]peers.User, len(keys))
	for _, key := range keys {
		us[key] = sample
	}
	return us, nil
}

// open gives b an instance of p, on a Redis of its own.
func (b *batcher) open(t *testing.T, p peers.Peer, noLocal bool) peers.Batches {
	b.server = redistest.Start(t)
	i := open(t, p, b.server, peers.Settings{Load: b.load, LoadMany: b.loadMany, NoLocal: noLocal}).(peers.Batches)
	b.rest = func() {
		for i.Background() > 0 {
			<-time.After(20 * time.Microsecond) // a loop that yields would keep the processors busy
		}
	}
	return i
}

// batchers returns the libraries with batches, and nearside key by key.
func batchers(t *testing.T, noLocal bool) (all []*batcher) {
	for _, p := range peers.WithBatches() {
		b := &batcher{name: p.Name}
		b.getMany = b.open(t, p, noLocal).GetMany
		all = append(all, b)
	}
	b := &batcher{name: "nearside, key by key"}
	i := b.open(t, peers.All()[0], noLocal)
	b.getMany = func(ctx context.Context, keys []string) (map[string]peers.User, error) {
		us := make(map[string]peers.User, len(keys))
		for _, key := range keys {
			u, err := i.Get(ctx, key)
			if err != nil {
				return nil, err
			}
			us[key] = u
		}
		return us, nil
	}
	return append(all, b)
}

// bareMany reads with MGET, loads all missing keys together, and writes with a pipeline of SET,
// because MSET takes no TTL.
func bareMany(t *testing.T) *batcher {
	b := &batcher{name: goRedis, server: redistest.Start(t)}
	client := dialGoRedis(t, b.server)
	b.getMany = func(ctx context.Context, keys []string) (map[string]peers.User, error) {
		us, missing, err := mget(ctx, client, keys)
		if err != nil || len(missing) == 0 {
			return us, err
		}
		loaded, err := b.loadMany(ctx, missing)
		if err != nil {
			return nil, err
		}
		pipeline := client.Pipeline()
		for key, u := range loaded {
			us[key] = u
			data, err := json.Marshal(u)
			if err != nil {
				return nil, err
			}
			pipeline.Set(ctx, key, data, longTTL)
		}
		_, err = pipeline.Exec(ctx)
		return us, err
	}
	return b
}

func mget(ctx context.Context, client *goredis.Client, keys []string) (us map[string]peers.User, missing []string, err error) {
	values, err := client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, nil, err
	}
	us = make(map[string]peers.User, len(keys))
	for i, value := range values {
		text, ok := value.(string)
		if !ok {
			missing = append(missing, keys[i])
			continue
		}
		var u peers.User
		if err := json.Unmarshal([]byte(text), &u); err != nil {
			return nil, nil, err
		}
		us[keys[i]] = u
	}
	return us, missing, nil
}

// bareLocal looks the keys up in a golang-lru, one after the other.
func bareLocal(t *testing.T, ks []string) *batcher {
	c := newGolangLRU(t, lruEntries)
	for _, key := range ks {
		c.Add(key, sample)
	}
	return &batcher{name: "golang-lru", getMany: func(_ context.Context, keys []string) (map[string]peers.User, error) {
		us := make(map[string]peers.User, len(keys))
		for _, key := range keys {
			if u, ok := c.Get(key); ok {
				us[key] = u
			}
		}
		return us, nil
	}}
}

// batches measures calls with many keys: all in the local tier, all in Redis, and in no tier.
func batches(t *testing.T, r *report) {
	ks := keys()
	held := append([]*batcher{bareLocal(t, ks)}, batchers(t, false)...)
	for _, b := range held[1:] {
		b.warm(t, ks)
	}
	batchRows(t, r, "local hit", held, windows(ks))

	all := append([]*batcher{bareMany(t)}, batchers(t, true)...)
	for _, b := range all {
		if err := b.get(t.Context(), ks); err != nil {
			t.Fatalf("%s: %v", b.name, err)
		}
	}
	settle()
	for _, b := range all {
		b.read = 0
		b.loaded.Store(0)
	}
	lines := batchRows(t, r, "Redis hit", all, windows(ks))
	for _, b := range all {
		if n := b.loaded.Load(); n > int64(b.read/10) {
			t.Errorf("%s: %d of %d hits were loads", b.name, n, b.read)
		}
	}
	r.plot(t, "redis-hit-batch.svg", plotted{
		title: "A Redis hit of many keys, for each key", x: "keys", y: "µs", logX: true, least: 1, falls: true, lines: lines,
	})
	batchRows(t, r, "miss", all, fresh)
}

// batchRows measures batches of each size. choose returns a source of the keys of a call. The
// lines that batchRows returns have microseconds for each key.
func batchRows(t *testing.T, r *report, what string, all []*batcher, choose func(size int) func(i int) []string) []line {
	ctx := context.Background()
	lines := make([]line, len(all))
	for _, size := range batchSizes {
		var calls []*timed
		for _, b := range all {
			next := choose(size)
			calls = append(calls, &timed{name: b.name, rest: b.rest, call: func(i int) error { return b.get(ctx, next(i)) }})
		}
		inTurns(t, 1, calls)
		for i, c := range calls {
			lines[i].name = c.name
			lines[i].add(float64(size), median(c.ns)/1000/float64(size))
		}
		r.row(fmt.Sprintf("%s, %d keys together", what, size), calls)
	}
	return lines
}

// windows returns neighbours among ks, other keys for each call: a local tier of one entry has
// none of the keys of the next call.
func windows(ks []string) func(size int) func(i int) []string {
	twice := append(slices.Clone(ks), ks...)
	return func(size int) func(int) []string {
		return func(i int) []string {
			from := i * size & (hitKeys - 1)
			return twice[from : from+size]
		}
	}
}

var coldKeys atomic.Int64

// fresh returns keys that nobody has read.
func fresh(size int) func(int) []string {
	return func(int) []string {
		ks := make([]string, size)
		for i := range ks {
			ks[i] = "cold:" + strconv.FormatInt(coldKeys.Add(1), 10)
		}
		return ks
	}
}

// warm reads ks until all are in the local tier.
func (b *batcher) warm(t *testing.T, ks []string) {
	t.Helper()
	asked := func() int64 { commands := b.server.Commands(); return commands["get"] + commands["mget"] }
	for range maxWarm {
		before := asked()
		if err := b.get(t.Context(), ks); err != nil {
			t.Fatalf("%s: %v", b.name, err)
		}
		settle()
		if asked() == before {
			return
		}
	}
	t.Fatalf("%s: after %d reads of each key some are still reads of Redis", b.name, maxWarm)
}
