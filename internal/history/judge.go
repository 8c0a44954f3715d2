package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Options are the promises by which a history is judged.
type Options struct {
	// Own is how long after an invalidation has returned the invalidating instance may read
	// the old value. Zero means that it may not.
	Own time.Duration

	// Delivery is how long after an invalidation has returned the other instances may read
	// the old value, without a fault.
	Delivery time.Duration

	// Faulty has the bound for each kind of fault that can delay the invalidations of
	// others. A kind without a bound excuses nothing.
	Faulty map[string]Bound
}

// Bound limits the excuse of one kind of fault. While the fault is in force, or being
// recovered from, instances may read values that were invalidated shortly before or during
// that time. The excuse ends at the earlier of two times, given by Longest and by Recovery.
type Bound struct {
	// Longest is how long after the invalidation has returned such a read is excused,
	// however long the fault lasts. Options.Delivery counts instead where it is longer.
	Longest time.Duration

	// Recovery is how long the fault has an effect after its end. Invalidations that are
	// delayed until then must be delivered within Options.Delivery.
	Recovery time.Duration
}

// judge is a verdict in the making.
type judge struct {
	opts    Options
	pasts   map[string]*past
	faults  *faults
	verdict Verdict
}

// Judge judges a history by the promises in o. It takes n log n time, and for each stale
// read also time in proportion to the faults that touched the read.
func Judge(h History, o Options) Verdict {
	j := &judge{opts: o, pasts: pasts(h), faults: newFaults(h.Faults, o.Faulty), verdict: newVerdict(h)}
	j.spans(h)
	for _, r := range h.Reads {
		j.read(r)
	}
	for _, r := range h.Rests {
		j.rest(r)
	}
	slices.SortStableFunc(j.verdict.Violations, func(a, b Violation) int { return cmp.Compare(a.at(), b.at()) })
	return j.verdict
}

func (j *judge) violation(v Violation) {
	j.verdict.Violations = append(j.verdict.Violations, v)
}

// spans reports the records that end before they start.
func (j *judge) spans(h History) {
	check := func(start, end int64, v Violation) {
		if end < start {
			v.Reason = Backwards
			j.violation(v)
		}
	}
	for _, r := range h.Reads {
		check(r.Start, r.End, Violation{Read: r})
	}
	for _, r := range h.Commits {
		check(r.Start, r.End, Violation{Note: fmt.Sprintf("commit %+v", r)})
	}
	for _, r := range h.Invalidated {
		check(r.Start, r.End, Violation{Invalidated: r})
	}
	for _, r := range h.Faults {
		check(r.Start, r.End, Violation{Note: fmt.Sprintf("fault %+v", r)})
	}
}

func (j *judge) read(r Read) {
	p := j.pasts[r.Key]
	if p == nil {
		p = new(past)
	}
	j.existence(p, r)
	own, byOwn := p.byOwn(r)
	other, byOther := p.byOthers(r)
	switch {
	case byOwn && byOther:
		j.measure(r, min(own.End, other.End))
	case byOwn:
		j.measure(r, own.End)
	case byOther:
		j.measure(r, other.End)
	}
	if staleness := r.staleness(own); byOwn && staleness > j.opts.Own {
		j.violation(Violation{Reason: OwnWrite, Read: r, Invalidated: own, Staleness: staleness, Bound: j.opts.Own})
	}
	if byOther {
		j.late(r, other)
	}
}

// staleness returns the time from the return of inv to the start of r.
func (r Read) staleness(inv Invalidated) time.Duration { return time.Duration(r.Start - inv.End) }

// existence checks that the version of r can have existed before r ended.
func (j *judge) existence(p *past, r Read) {
	start, ok := p.commits[r.Version]
	switch {
	case r.Version == 0:
	case !ok:
		j.violation(Violation{Reason: Unknown, Read: r})
	case start > r.End:
		j.violation(Violation{Reason: Early, Read: r})
	}
}

// measure counts a stale read. Its version has been invalid since that time.
func (j *judge) measure(r Read, since int64) {
	staleness := time.Duration(r.Start - since)
	if staleness > j.opts.Delivery {
		j.verdict.Stale++
	}
	kind := ""
	if fault := j.due(r, since).fault; fault != nil {
		kind = fault.kind
		if staleness > j.opts.Delivery && r.Start > fault.end {
			j.verdict.LongestAfter[kind] = max(j.verdict.LongestAfter[kind], time.Duration(r.Start-fault.end))
		}
	}
	j.verdict.LongestStaleness[kind] = max(j.verdict.LongestStaleness[kind], staleness)
}

// due returns the time by which r's instance had to know of an invalidation at that time.
func (j *judge) due(r Read, since int64) due {
	return j.faults.due(since, r.Start, r.Instance, j.opts.Delivery)
}

// late judges a read by the earliest of the other instances' invalidations that make the
// read stale. The earliest was due before the others.
func (j *judge) late(r Read, inv Invalidated) {
	if at := j.due(r, inv.End).at; r.Start > at {
		j.violation(Violation{Reason: Late, Read: r, Invalidated: inv, Staleness: r.staleness(inv), Bound: time.Duration(at - inv.End)})
	}
}

// rest judges the version that a tier held by the invalidations that had returned by then.
// An invalidation that returned in the same nanosecond counts too, unlike for a read: the
// record states that no call and no delivery was under way any more.
func (j *judge) rest(r Rest) {
	p := j.pasts[r.Key]
	if p == nil {
		return
	}
	inv, ok := p.all.until(later(r.At, 1), func(k peak) bool { return k.version > r.Version })
	if ok {
		j.violation(Violation{Reason: AtRest, Rest: r, Invalidated: inv, Staleness: time.Duration(r.At - inv.End)})
	}
}
