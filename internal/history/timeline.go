package history

import (
	"cmp"
	"math"
	"slices"
)

// longAgo is before all records.
const longAgo = math.MinInt64

// peak has the highest version in a section of a timeline, the instance that invalidated
// with that version, and the highest version of all other instances. The two versions are
// enough to find the highest version without any one instance.
type peak struct {
	version  int64
	instance int
	others   int64
}

var noPeak = peak{version: math.MinInt64, others: math.MinInt64}

// join returns the peak of two sections together.
func (p peak) join(q peak) peak {
	if q.version > p.version {
		p, q = q, p
	}
	if p.instance == q.instance {
		p.others = max(p.others, q.others)
	} else {
		p.others = max(p.others, q.version)
	}
	return p
}

// without returns the highest version of all instances but one.
func (p peak) without(instance int) int64 {
	if p.instance == instance {
		return p.others
	}
	return p.version
}

// timeline has the invalidations of a key, in the order of their ends, and a binary tree of
// peaks above them. The halves of node i are the nodes 2i and 2i+1, the root is node 1, and
// the single invalidations begin in the middle of peaks. The nil timeline is empty.
type timeline struct {
	invalidated []Invalidated
	peaks       []peak
}

func newTimeline(invalidated []Invalidated) *timeline {
	slices.SortStableFunc(invalidated, func(a, b Invalidated) int { return cmp.Compare(a.End, b.End) })
	leaves := 1
	for leaves < len(invalidated) {
		leaves *= 2
	}
	t := &timeline{invalidated, slices.Repeat([]peak{noPeak}, 2*leaves)}
	for i, inv := range invalidated {
		t.peaks[leaves+i] = peak{inv.Version, inv.Instance, math.MinInt64}
	}
	for i := leaves - 1; i > 0; i-- {
		t.peaks[i] = t.peaks[2*i].join(t.peaks[2*i+1])
	}
	return t
}

// until returns the earliest invalidation for which holds is true, if that invalidation
// ended before end. If holds is true for the peak of a section, it must be true for one of
// the section's invalidations. The number of steps is logarithmic.
func (t *timeline) until(end int64, holds func(peak) bool) (inv Invalidated, ok bool) {
	if t == nil || !holds(t.peaks[1]) {
		return Invalidated{}, false
	}
	inv = t.invalidated[t.descend(1, holds)-len(t.peaks)/2]
	return inv, inv.End < end
}

// descend returns the first leaf below node i for which holds is true.
func (t *timeline) descend(i int, holds func(peak) bool) int {
	for i < len(t.peaks)/2 {
		i *= 2
		if !holds(t.peaks[i]) {
			i++
		}
	}
	return i
}
