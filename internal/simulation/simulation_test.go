package simulation_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/history"
	"github.com/nearside-go/nearside/internal/simulation"
)

var (
	seeds = flag.Int("seeds", 4, "how many fleets to play")
	first = flag.Uint64("first", rand.Uint64(), "the seed of the first one; the others follow")
)

const long = 10 * time.Second

// play plays the fleet of one seed, and has it judged.
func play(t *testing.T, seed uint64, wrap func(remote.Tier) remote.Tier, o simulation.Options) (h history.History, v history.Verdict) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if h, err = simulation.Play(seed, long, wrap, o); err != nil {
			t.Fatal(err)
		}
	})
	return h, history.Judge(h, o.Bounds())
}

func sound(r remote.Tier) remote.Tier { return r }

func TestFleets(t *testing.T) { playAll(t, *seeds, simulation.Options{}) }

// TestFleetsWithWindows: stale values, too, are not served after their invalidation.
// They are a quarter of the fleets.
func TestFleetsWithWindows(t *testing.T) {
	playAll(t, max(*seeds/4, 1), simulation.Options{Windows: true})
}

// TestFleetsThatOutliveTheirTrust: nor are copies that stand in for loads, beyond their bound.
func TestFleetsThatOutliveTheirTrust(t *testing.T) {
	playAll(t, max(*seeds/4, 1), simulation.Options{Down: true})
}

// TestFleetsThatRedeliver: an invalidation that another instance could not deliver is as good as one
// of this instance.
func TestFleetsThatRedeliver(t *testing.T) {
	playAll(t, max(*seeds/4, 1), simulation.Options{Redeliver: true})
}

func playAll(t *testing.T, n int, o simulation.Options) {
	t.Parallel()
	t.Logf("%d seeds from %d on", n, *first)
	var reads, invalidations, stale int
	var longest time.Duration
	for i := range n {
		seed := *first + uint64(i)
		h, v := play(t, seed, sound, o)
		if len(v.Violations) > 0 {
			path := fmt.Sprintf("%s/history-%d.jsonl", os.TempDir(), seed)
			t.Fatalf("seed %d, saved as %s (%v):\n%v", seed, path, history.Save(path, h), v)
		}
		reads, invalidations, stale = reads+v.Reads, invalidations+v.Invalidations, stale+v.Stale
		for _, d := range v.LongestStaleness {
			longest = max(longest, d)
		}
	}
	if reads == 0 || invalidations == 0 {
		t.Fatal("nothing happened")
	}
	t.Logf("%d reads, %d invalidations, %d reads stale for longer than a delivery, for %v at most, none beyond the bound", reads, invalidations, stale, longest)
}
