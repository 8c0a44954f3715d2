package history

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

// faults are the faults of a history by their kinds, the most lenient first.
type faults []kind

// kind is the faults of a kind, by the instance that each was for.
type kind struct {
	name  string
	bound Bound
	spans map[int][]span
}

// span is the time of a fault, in the order of the starts. Its until is when this
// fault and all before it had been recovered from.
type span struct{ start, until int64 }

func newFaults(records []Fault, bounds map[string]Bound) faults {
	byKind := make(map[string]map[int][]span)
	for _, f := range records {
		if byKind[f.Kind] == nil {
			byKind[f.Kind] = make(map[int][]span)
		}
		s := span{f.Start, later(f.End, bounds[f.Kind].Recovery)}
		byKind[f.Kind][f.Instance] = append(byKind[f.Kind][f.Instance], s)
	}
	var all faults
	for name, spans := range byKind {
		for _, s := range spans {
			order(s)
		}
		all = append(all, kind{name, bounds[name], spans})
	}
	slices.SortFunc(all, func(a, b kind) int {
		return cmp.Or(cmp.Compare(b.bound.Longest, a.bound.Longest), cmp.Compare(a.name, b.name))
	})
	return all
}

// later adds d to t. A fault that was never mended ends when time does.
func later(t int64, d time.Duration) int64 {
	if int64(d) > math.MaxInt64-max(t, 0) {
		return math.MaxInt64
	}
	return t + int64(d)
}

func order(spans []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	for i := 1; i < len(spans); i++ {
		spans[i].until = max(spans[i].until, spans[i-1].until)
	}
}

// until returns when the faults of the kind that had started by a time have been
// recovered from, for an instance.
func (k kind) until(instance int, by int64) int64 {
	until := int64(longAgo)
	for _, spans := range [][]span{k.spans[All], k.spans[instance]} {
		begun := sort.Search(len(spans), func(i int) bool { return spans[i].start > by })
		if begun > 0 {
			until = max(until, spans[begun-1].until)
		}
	}
	return until
}

// between returns the kind that allows most, of those that were in force or being
// recovered from at some time from e to s, for an instance.
func (f faults) between(e, s int64, instance int) (k kind, ok bool) {
	for _, k := range f {
		if k.until(instance, s) >= e {
			return k, true
		}
	}
	return kind{}, false
}

// excuse is the bound for invalidations that ended until some time, and after the
// excuse before.
type excuse struct {
	until int64
	bound time.Duration
}

// excuses returns those of an instance's read that started at s, the last one for
// the time without a fault. A kind that was over before a more lenient one was
// excuses nothing more.
func (f faults) excuses(s int64, instance int, delivery time.Duration) []excuse {
	excuses := make([]excuse, 0, len(f)+1)
	last := int64(longAgo)
	for _, k := range f {
		if until := k.until(instance, s); until > last {
			excuses = append(excuses, excuse{until, max(delivery, k.bound.Longest)})
			last = until
		}
	}
	return append(excuses, excuse{math.MaxInt64, delivery})
}
