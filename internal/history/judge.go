package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Options say what was promised.
type Options struct {
	// Own is how long after an invalidation has returned the instance that made
	// it may read the old value. Zero is never.
	Own time.Duration

	// Delivery is how long after an invalidation has returned the other
	// instances may read the old value, without a fault.
	Delivery time.Duration

	// Faulty has the bound for each kind of fault that can hold up what others
	// have invalidated. A kind that it lacks excuses nothing.
	Faulty map[string]Bound
}

// Bound is what a kind of fault excuses: that instances go on reading what was
// invalidated shortly before or while it was in force, or being recovered from. It
// ends at the earlier of two times.
type Bound struct {
	// Longest is how long after the invalidation has returned that may be,
	// whatever the fault's length. Where it is less than Options.Delivery that
	// holds.
	Longest time.Duration

	// Recovery is how long after the fault's end it is in effect. What it has held
	// up by then must be known within Options.Delivery.
	Recovery time.Duration
}

// judge is a verdict in the making.
type judge struct {
	opts    Options
	pasts   map[string]*past
	faults  *faults
	verdict Verdict
}

// Judge judges a history by what was promised. It takes n log n time, and for each
// read that is stale as long as it takes to look at the faults that touched it.
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

// spans finds the records that end before they start.
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

// staleness is how long inv had returned when r started.
func (r Read) staleness(inv Invalidated) time.Duration { return time.Duration(r.Start - inv.End) }

// existence judges whether r's version can have existed before r ended.
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

// measure counts a stale read, which invalidations had declared wrong since some
// time.
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

// due is by when r's instance had to know of what had been declared wrong at some time.
func (j *judge) due(r Read, since int64) due {
	return j.faults.due(since, r.Start, r.Instance, j.opts.Delivery)
}

// late judges a read by the earliest invalidation of another instance that it is stale
// by: it was due before all others.
func (j *judge) late(r Read, inv Invalidated) {
	if at := j.due(r, inv.End).at; r.Start > at {
		j.violation(Violation{Reason: Late, Read: r, Invalidated: inv, Staleness: r.staleness(inv), Bound: time.Duration(at - inv.End)})
	}
}

// rest judges what a tier held by the invalidations that had returned by then.
// Unlike a read it counts one that returned in the same nanosecond: that nothing
// was under way any more is what the record says.
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
