package history

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

// faults are the faults of a history, by instance.
type faults struct {
	by     map[int][]span
	merged map[int][]span // with the faults of All; filled on demand
}

// span is the time of one fault.
type span struct {
	kind       string
	bound      Bound
	start, end int64
	until      int64 // when the recovery from the fault had ended
	latest     int64 // the latest until of this span and the spans before it
}

func newFaults(records []Fault, bounds map[string]Bound) *faults {
	f := &faults{by: make(map[int][]span), merged: make(map[int][]span)}
	for _, r := range records {
		bound := bounds[r.Kind]
		s := span{kind: r.Kind, bound: bound, start: r.Start, end: r.End, until: later(r.End, bound.Recovery)}
		f.by[r.Instance] = append(f.by[r.Instance], s)
	}
	return f
}

// later adds d to t. The sum is at most math.MaxInt64, the end of a fault that was never
// mended.
func later(t int64, d time.Duration) int64 {
	if int64(d) > math.MaxInt64-max(t, 0) {
		return math.MaxInt64
	}
	return t + int64(d)
}

// of returns the faults of an instance and of all instances, in the order of their starts.
func (f *faults) of(instance int) []span {
	spans, ok := f.merged[instance]
	if ok {
		return spans
	}
	spans = slices.Clone(f.by[All])
	if instance != All {
		spans = append(spans, f.by[instance]...)
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	latest := int64(longAgo)
	for i := range spans {
		latest = max(latest, spans[i].until)
		spans[i].latest = latest
	}
	f.merged[instance] = spans
	return spans
}

// due is the time by which an instance has to know of an invalidation.
type due struct {
	at    int64
	fault *span // the excusing fault that allows most, see Verdict; nil for none
}

// due returns the time by which instance has to know of an invalidation that ended at e,
// given the faults that have started by s. Without a fault the time is delivery after e. A
// fault that strikes before puts the time off, and then another fault may do so. The result
// for a later e is never earlier.
func (f *faults) due(e, s int64, instance int, delivery time.Duration) due {
	d := due{at: later(e, delivery)}
	most := int64(longAgo)
	spans := f.of(instance)
	first := sort.Search(len(spans), func(i int) bool { return spans[i].latest >= e })
	for i := first; i < len(spans) && spans[i].start <= min(d.at, s); i++ {
		fault := &spans[i]
		if fault.until < e {
			continue
		}
		allowed := min(later(e, fault.bound.Longest), later(fault.until, delivery))
		if d.fault == nil || cmp.Or(cmp.Compare(allowed, most), cmp.Compare(d.fault.kind, fault.kind), cmp.Compare(fault.end, d.fault.end)) > 0 {
			most, d.fault = allowed, fault
		}
		d.at = max(d.at, allowed)
	}
	return d
}
