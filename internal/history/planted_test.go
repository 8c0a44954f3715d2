package history_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// planter makes a history in which every promise is kept, as if time went on by a
// few nanoseconds from one record to the next: instances invalidate what they
// commit, and the others see it with a delay of up to a hundred.
type planter struct {
	rand     *rand.Rand
	now      int64
	versions [50]int64    // of the source
	due      [4][50]int64 // when each instance sees the newest version
	h        history.History
}

var delivery = history.Options{Delivery: 100, Faulty: map[string]history.Bound{"cut": {Longest: time.Hour, Recovery: 100}}}

func key(k int) string { return strconv.Itoa(k) }

func (p *planter) span() (start, end int64) {
	start = p.now + 1
	p.now = start + p.rand.Int64N(9)
	return start, p.now
}

func (p *planter) write(instance, k int) {
	p.versions[k]++
	c := history.Commit{Key: key(k), Version: p.versions[k]}
	c.Start, c.End = p.span()
	p.h.Commits = append(p.h.Commits, c)
	inv := history.Invalidated{Instance: instance, Key: key(k), Version: p.versions[k]}
	inv.Start, inv.End = p.span()
	p.h.Invalidated = append(p.h.Invalidated, inv)
	for i := range p.due {
		p.due[i][k] = p.now + p.rand.Int64N(100)
	}
	p.due[instance][k] = p.now
}

func (p *planter) read(instance, k int) {
	start, end := p.span()
	version := p.versions[k]
	if start < p.due[instance][k] {
		version--
	}
	p.h.Reads = append(p.h.Reads, history.Read{Instance: instance, Key: key(k), Version: version, Start: start, End: end})
}

// Writes to a key are so far apart that every instance has seen the one when the
// other comes: until it sees that, it reads the version before.
func (p *planter) step() {
	instance, k := p.rand.IntN(4), p.rand.IntN(50)
	if p.rand.IntN(20) == 0 && p.now > p.due[0][k]+200 {
		p.write(instance, k)
		return
	}
	p.read(instance, k)
}

func plant(t *testing.T) *planter {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	p := &planter{rand: rand.New(rand.NewPCG(seed, 0))}
	for len(p.h.Reads) < 100_000 {
		p.step()
	}
	return p
}

func TestCorrectReadsAreNotAccused(t *testing.T) {
	p := plant(t)
	v := history.Judge(p.h, delivery)
	t.Log(v)
	if len(v.Violations) > 0 || v.Stale > 0 {
		t.Error("a correct history was accused")
	}
	if v.LongestStaleness[""] < 50 {
		t.Error("no read was stale within its bound: nothing was shown")
	}
}

// One read in a hundred thousand returns the version before the one that it must.
func TestThePlantedReadIsFound(t *testing.T) {
	p := plant(t)
	i := len(p.h.Reads)/2 + p.rand.IntN(1000)
	for p.h.Reads[i].Version == 0 || p.fresh(p.h.Reads[i]) {
		i++
	}
	p.h.Reads[i].Version--
	p.rand.Shuffle(len(p.h.Invalidated), func(a, b int) {
		p.h.Invalidated[a], p.h.Invalidated[b] = p.h.Invalidated[b], p.h.Invalidated[a]
	})
	v := history.Judge(p.h, delivery)
	if len(v.Violations) != 1 || v.Violations[0].Read != p.h.Reads[i] {
		t.Fatalf("planted: %+v\n%v", p.h.Reads[i], v)
	}
	t.Log(v)

	// A fault of its instance excuses the same read, as it would in life, but only one
	// of a kind that holds up, and that struck in time.
	if v.Violations[0].Reason != history.Late || v.Violations[0].Staleness < 302 { // no room for these
		return
	}
	r, since := v.Violations[0].Read, v.Violations[0].Invalidated.End
	for _, tt := range []struct {
		fault history.Fault
		want  int
	}{
		{fault("cut", r.Instance, since, r.Start-200), 0},
		{fault("trim", r.Instance, since, r.Start-200), 1},
		{fault("cut", r.Instance, since+101, r.Start-200), 1},
		{fault("cut", r.Instance, since, r.Start-201), 1},
	} {
		h := p.h
		h.Faults = append(slices.Clip(h.Faults), tt.fault)
		if v := history.Judge(h, delivery); len(v.Violations) != tt.want || v.Stale != 1 {
			t.Errorf("%+v: %v", tt.fault, v)
		}
	}
}

// fresh reports whether the version before r's would be within its bound.
func (p *planter) fresh(r history.Read) bool {
	for _, inv := range p.h.Invalidated {
		if inv.Key == r.Key && inv.Version == r.Version {
			bound := int64(delivery.Delivery)
			if inv.Instance == r.Instance {
				bound = 0
			}
			return r.Start-inv.End <= bound
		}
	}
	return true
}
