package peers_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/cache"
	nearlocal "github.com/nearside-go/nearside/local"
)

const (
	orderLength = 1 << 16
	skew        = 1.01 // of zipf
)

// order is an order in which keys are read, as indices of keys.
type order struct {
	name string
	of   []int
}

func orders(keys int) []order {
	uniform, zipf := make([]int, orderLength), make([]int, orderLength)
	skewed := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), skew, 1, uint64(keys-1))
	for i := range orderLength {
		uniform[i], zipf[i] = rand.IntN(keys), int(skewed.Uint64())
	}
	return []order{{"uniform", uniform}, {"zipf", zipf}, {"one key", make([]int, orderLength)}}
}

func (o order) key(i int) int { return o.of[i&(orderLength-1)] }

// localSpeed measures hits of keys that are all in the local tier.
func localSpeed(t *testing.T, r *report) {
	ks := keys()
	near := warmPeer(t, peers.All()[0])
	var hits []*contender
	for _, l := range lrus {
		hits = append(hits, &contender{name: l.name, hit: l.open(t, ks)})
	}
	hits = append(hits, near)
	lines := make(map[string][]line)
	for _, o := range orders(hitKeys) {
		var all []*timed
		for _, c := range hits {
			all = append(all, &timed{name: c.name, call: func(i int) error { return c.hit(ks[o.key(i)]) }})
		}
		plotted := make([]line, len(all))
		for _, goroutines := range []int{1, 2, 4, 8, 16, 32, 64} {
			inTurns(t, goroutines, all)
			for i, c := range all {
				plotted[i].name = c.name
				plotted[i].add(float64(goroutines), median(c.ns))
			}
			what := fmt.Sprintf("local hit, %s, %s", o.name, by(goroutines))
			if goroutines == 1 || goroutines == 16 {
				r.row(what, all)
			}
			ratios := find(all, peers.Nearside).over(all[0])
			switch {
			case goroutines == 1 && o.name == "uniform":
				r.target(what, "at most 1.5 times golang-lru", spread(ratios), median(ratios) <= 1.5)
			case goroutines == 16:
				r.target(what, "at most 0.4 times golang-lru", spread(ratios), median(ratios) <= 0.4)
			}
		}
		lines[o.name] = plotted
	}
	r.plot(t, "local-hit-zipf.svg", plotted{
		title: "A local hit, keys by a zipf distribution", x: "goroutines", y: "ns", logX: true, lines: lines["zipf"],
	})
	r.plot(t, "local-hit-one-key.svg", plotted{
		title: "A local hit, one key for all", x: "goroutines", y: "ns", logX: true, lines: lines["one key"],
	})
}

// localKeys measures how a hit grows with the number of keys.
func localKeys(t *testing.T, r *report) {
	lines := []line{{name: "golang-lru"}, {name: peers.Nearside}}
	for _, n := range []int{1e3, 1e4, 1e5, 1e6} {
		ks := numbered(n)
		o := orders(n)[0]
		bare, near := filled(t, ks)
		all := []*timed{
			{name: "golang-lru", call: func(i int) error { return bare(ks[o.key(i)]) }},
			{name: peers.Nearside, call: func(i int) error { return near(ks[o.key(i)]) }},
		}
		inTurns(t, 1, all)
		for i, c := range all {
			lines[i].add(float64(n), median(c.ns))
		}
		r.row(fmt.Sprintf("local hit, uniform, %d keys", n), all)
	}
	r.plot(t, "local-hit-keys.svg", plotted{title: "A local hit, by the number of keys", x: "keys", y: "ns", logX: true, lines: lines})
}

func numbered(n int) []string {
	ks := make([]string, n)
	for i := range ks {
		ks[i] = "user:" + strconv.Itoa(i)
	}
	return ks
}

// filled returns the reads of a golang-lru, and of a cache of nearside, that hold all keys.
func filled(t *testing.T, ks []string) (bare, near func(string) error) {
	l := newGolangLRU(t, len(ks))
	for _, key := range ks {
		l.Add(key, sample)
	}
	c, err := cache.New(cache.Options[string, peers.User]{
		Name: "users", TTL: time.Hour, Local: nearlocal.Options{MaxEntries: len(ks) + len(ks)/10},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ctx := context.Background()
	for _, key := range ks {
		if err := c.Set(ctx, key, sample); err != nil {
			t.Fatal(err)
		}
	}
	load := func(context.Context, string) (peers.User, error) { return peers.User{}, errMiss }
	return found(l.Get), func(key string) error {
		_, err := c.GetOrLoad(ctx, key, load)
		return err
	}
}

// memory measures what an entry takes above its key and its value.
func memory(t *testing.T, r *report) {
	const most = 200 // bytes
	for _, n := range []int{1e3, 1e4, 1e5, 1e6, 1e7} {
		ks := numbered(n)
		before := heap()
		s, err := nearlocal.New[string, *peers.User](nearlocal.Options{MaxEntries: n})
		if err != nil {
			t.Fatal(err)
		}
		value := &peers.User{}
		for _, key := range ks {
			s.Add(key, value, 1, nearlocal.Lifetime{TTL: time.Hour, Slides: true})
		}
		const keyAndValue = 24 // the header of a string, and a pointer
		each := float64(heap()-before)/float64(s.Len()) - keyAndValue
		runtime.KeepAlive(ks)
		runtime.KeepAlive(s)
		t.Logf("%d entries: %.0f bytes each", n, each)
		if n >= 1e6 {
			r.target(fmt.Sprintf("memory of an entry above its key and value, %.0e entries", float64(n)),
				fmt.Sprintf("at most %d bytes", most), fmt.Sprintf("%.0f bytes", each), each <= most)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
