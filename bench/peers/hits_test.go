package peers_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
)

const (
	hitKeys   = 1024 // a power of two
	hitRounds = 7
	hitTime   = "150ms" // of one benchmark
	maxWarm   = 20
	maxRatio  = 2 // of nearside to golang-lru: "about as much"
)

// contender is a cache whose hits are measured.
type contender struct {
	name   string
	hit    func(key string) error
	ns     []float64 // of each round
	allocs []int64
}

// hits are the cells of the libraries, and a sentence about the LRUs.
type hits struct {
	cells []cell
	bare  string
}

// localHits measures hits of keys that are all in the local tier, in many short
// benchmarks: a machine is fast in one moment and slow in the next.
func localHits(t *testing.T, all []peers.Peer) hits {
	h := hits{cells: make([]cell, len(all))}
	t.Run("LocalHit", func(t *testing.T) {
		var contenders []*contender
		of := make(map[string]*contender)
		for _, p := range all {
			if p.LocalTier {
				of[p.Name] = warmPeer(t, p)
				contenders = append(contenders, of[p.Name])
			}
		}
		var bare []*contender
		for _, l := range lrus {
			bare = append(bare, &contender{name: l.name, hit: l.open(t, keys())})
		}
		contenders = append(contenders, bare...)
		measure(t, contenders)

		var costs []string
		for _, c := range bare {
			costs = append(costs, fmt.Sprintf("%s %s", c.name, c))
		}
		h.bare = "A hit in a bare LRU, of the same keys and values: " + strings.Join(costs, "; ") + "."
		for i, p := range all {
			h.cells[i] = hitCell(of[p.Name], bare[0])
		}
	})
	return h
}

func hitCell(c, bare *contender) cell {
	if c == nil {
		return cell{text: "no local tier", broken: []string{"there is no local tier"}}
	}
	var ratios []float64
	for round := range c.ns {
		ratios = append(ratios, c.ns[round]/bare.ns[round])
	}
	hit := cell{text: c.String()}
	hit.want(median(c.allocs) == 0, "%d allocations", median(c.allocs))
	hit.want(median(ratios) <= maxRatio, "%.1f times the cost of %s", median(ratios), bare.name)
	return hit
}

func (c *contender) String() string {
	return fmt.Sprintf("%.0f ns, %d allocs", median(c.ns), median(c.allocs))
}

func keys() []string {
	keys := make([]string, hitKeys)
	for i := range keys {
		keys[i] = "user:" + strconv.Itoa(i)
	}
	return keys
}

// warmPeer returns a contender with all keys in its local tier.
func warmPeer(t *testing.T, p peers.Peer) *contender {
	t.Helper()
	server, src := redistest.Start(t), &source{}
	i := open(t, p, server, peers.Settings{Load: src.load})
	for range maxWarm {
		before := reads(server)
		for _, key := range keys() {
			mustGet(t, i, key)
		}
		settle()
		if reads(server) == before {
			ctx := context.Background()
			return &contender{name: p.Name, hit: func(key string) error {
				_, err := i.Get(ctx, key)
				return err
			}}
		}
	}
	t.Fatalf("%s: after %d reads of each key some are still reads of Redis", p.Name, maxWarm)
	return nil
}

// reads returns how many reads of keys the server has answered.
func reads(server *redistest.Server) int64 { return server.Commands()["get"] }

// measure benchmarks all contenders once in each round.
func measure(t *testing.T, contenders []*contender) {
	t.Helper()
	duration := flag.Lookup("test.benchtime")
	was := duration.Value.String()
	if err := duration.Value.Set(hitTime); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = duration.Value.Set(was) }()
	ks := keys()
	for range hitRounds {
		for _, c := range contenders {
			var failed error
			result := testing.Benchmark(func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if err := c.hit(ks[i&(hitKeys-1)]); err != nil {
						failed = err
					}
					i++
				}
			})
			if failed != nil {
				t.Fatalf("%s: %v", c.name, failed)
			}
			c.ns = append(c.ns, float64(result.T)/float64(result.N))
			c.allocs = append(c.allocs, result.AllocsPerOp())
		}
	}
	for _, c := range contenders {
		t.Logf("%s: %.0f to %.0f ns", c.name, slices.Min(c.ns), slices.Max(c.ns))
	}
}
