package history_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nearside-go/nearside/internal/history"
	"pgregory.net/rapid"
)

// naive judges as the package's document says, in its words and in their order:
// every read by every invalidation, and both by every fault.
type naive struct {
	h history.History
	o history.Options
}

// due returns by when r's instance has to know of what an invalidation declared wrong,
// and the kind of fault that allows most. It goes over all faults until none that is in
// force before that puts it off any more.
func (n naive) due(r history.Read, inv history.Invalidated) (at int64, kind string) {
	at = inv.End + int64(n.o.Delivery)
	for again := true; again; {
		again = false
		most := int64(math.MinInt64)
		for _, f := range n.h.Faults {
			bound := n.o.Faulty[f.Kind]
			until := f.End + int64(bound.Recovery)
			if f.Instance != history.All && f.Instance != r.Instance || f.Start > at || f.Start > r.Start || until < inv.End {
				continue
			}
			allowed := min(inv.End+int64(bound.Longest), until+int64(n.o.Delivery))
			if allowed > most || allowed == most && f.Kind < kind {
				most, kind = allowed, f.Kind
			}
			if allowed > at {
				at, again = allowed, true
			}
		}
	}
	return at, kind
}

// after returns how long after the end of the last fault of that kind, of those that
// allow most, r began.
func (n naive) after(r history.Read, inv history.Invalidated, kind string) (after time.Duration) {
	at, _ := n.due(r, inv)
	most := int64(math.MinInt64)
	for _, f := range n.h.Faults {
		bound := n.o.Faulty[f.Kind]
		until := f.End + int64(bound.Recovery)
		if f.Kind != kind || f.Instance != history.All && f.Instance != r.Instance || f.Start > min(at, r.Start) || until < inv.End {
			continue
		}
		if allowed := min(inv.End+int64(bound.Longest), until+int64(n.o.Delivery)); allowed > most {
			most, after = allowed, time.Duration(r.Start-f.End)
		} else if allowed == most {
			after = min(after, time.Duration(r.Start-f.End))
		}
	}
	return after
}

func (n naive) existence(r history.Read) (violations []history.Violation) {
	if r.Version == 0 {
		return nil
	}
	reason := history.Unknown
	for _, c := range n.h.Commits {
		if c.Key == r.Key && c.Version == r.Version {
			if c.Start <= r.End {
				return nil
			}
			reason = history.Early
		}
	}
	return []history.Violation{{Reason: reason, Read: r}}
}

// read returns the stalest violation of each promise, and the invalidation that
// the read is stale by for longest, if there is one.
func (n naive) read(r history.Read) (violations []history.Violation, earliest *history.Invalidated) {
	own := history.Violation{Reason: history.OwnWrite, Read: r}
	late := history.Violation{Reason: history.Late, Read: r}
	for _, inv := range n.h.Invalidated {
		if inv.Key != r.Key || inv.Version <= r.Version || inv.End >= r.Start {
			continue
		}
		if earliest == nil || inv.End < earliest.End {
			earliest = &inv
		}
		at, _ := n.due(r, inv)
		which, bound := &late, time.Duration(at-inv.End)
		if inv.Instance == r.Instance {
			which, bound = &own, n.o.Own
		}
		if staleness := time.Duration(r.Start - inv.End); staleness > max(bound, which.Staleness) {
			which.Staleness, which.Bound, which.Invalidated = staleness, bound, inv
		}
	}
	violations = n.existence(r)
	for _, v := range []history.Violation{own, late} {
		if v.Staleness > 0 {
			violations = append(violations, v)
		}
	}
	return violations, earliest
}

func (n naive) rest(r history.Rest) (violations []history.Violation) {
	for _, inv := range n.h.Invalidated {
		if inv.Key != r.Key || inv.Version <= r.Version || inv.End > r.At {
			continue
		}
		v := history.Violation{Reason: history.AtRest, Rest: r, Invalidated: inv, Staleness: time.Duration(r.At - inv.End)}
		if len(violations) == 0 || v.Staleness > violations[0].Staleness {
			violations = []history.Violation{v}
		}
	}
	return violations
}

func (n naive) judge() history.Verdict {
	v := history.Verdict{
		Reads: len(n.h.Reads), Commits: len(n.h.Commits), Invalidations: len(n.h.Invalidated), Rests: map[string]int{},
		Faults: map[string]int{}, LongestStaleness: map[string]time.Duration{}, LongestAfter: map[string]time.Duration{},
	}
	for _, f := range n.h.Faults {
		v.Faults[f.Kind]++
	}
	for _, r := range n.h.Reads {
		violations, earliest := n.read(r)
		v.Violations = append(v.Violations, violations...)
		if earliest == nil {
			continue
		}
		staleness := time.Duration(r.Start - earliest.End)
		_, kind := n.due(r, *earliest)
		if staleness > n.o.Delivery {
			v.Stale++
			if after := n.after(r, *earliest, kind); after > 0 {
				v.LongestAfter[kind] = max(v.LongestAfter[kind], after)
			}
		}
		v.LongestStaleness[kind] = max(v.LongestStaleness[kind], staleness)
	}
	for _, r := range n.h.Rests {
		v.Rests[r.Tier]++
		v.Violations = append(v.Violations, n.rest(r)...)
	}
	slices.SortStableFunc(v.Violations, func(a, b history.Violation) int {
		return int(max(a.Read.Start, a.Rest.At) - max(b.Read.Start, b.Rest.At))
	})
	return v
}

// Times, versions, keys and instances are few, so that they often meet.
var (
	aTime     = rapid.Int64Range(1, 80)
	aLength   = rapid.Int64Range(0, 15)
	aVersion  = rapid.Int64Range(0, 6)
	aKey      = rapid.SampledFrom([]string{"a", "a", "a", "a", "b"})
	anOwner   = rapid.IntRange(1, 3)
	aKind     = rapid.SampledFrom([]string{"cut", "kill", "pause", "rain"})
	aDuration = rapid.SampledFrom([]time.Duration{0, 1, 2, 5, 10})
)

func drawHistory(t *rapid.T) (h history.History) {
	span := func() (start, end int64) {
		start = aTime.Draw(t, "start")
		return start, start + aLength.Draw(t, "length")
	}
	for range rapid.IntRange(0, 30).Draw(t, "reads") {
		r := history.Read{Instance: anOwner.Draw(t, "instance"), Key: aKey.Draw(t, "key"), Version: aVersion.Draw(t, "version")}
		r.Start, r.End = span()
		h.Reads = append(h.Reads, r)
	}
	for range rapid.IntRange(0, 10).Draw(t, "commits") {
		c := history.Commit{Key: aKey.Draw(t, "key"), Version: aVersion.Draw(t, "version")}
		c.Start, c.End = span()
		h.Commits = append(h.Commits, c)
	}
	for range rapid.IntRange(0, 15).Draw(t, "invalidations") {
		inv := history.Invalidated{Instance: anOwner.Draw(t, "instance"), Key: aKey.Draw(t, "key"), Version: aVersion.Draw(t, "version")}
		inv.Start, inv.End = span()
		h.Invalidated = append(h.Invalidated, inv)
	}
	for range rapid.IntRange(0, 5).Draw(t, "faults") {
		f := history.Fault{Kind: aKind.Draw(t, "kind"), Instance: rapid.SampledFrom([]int{history.All, 1, 2}).Draw(t, "instance")}
		f.Start, f.End = span()
		h.Faults = append(h.Faults, f)
	}
	for range rapid.IntRange(0, 4).Draw(t, "rests") {
		h.Rests = append(h.Rests, history.Rest{Tier: "local", Instance: anOwner.Draw(t, "instance"),
			Key: aKey.Draw(t, "key"), Version: aVersion.Draw(t, "version"), At: 10 + aTime.Draw(t, "at")})
	}
	return h
}

func drawOptions(t *rapid.T) history.Options {
	o := history.Options{
		Own:      rapid.SampledFrom([]time.Duration{0, 0, 0, 3}).Draw(t, "own"),
		Delivery: aDuration.Draw(t, "delivery"),
		Faulty:   make(map[string]history.Bound),
	}
	for _, kind := range []string{"cut", "kill", "pause"} {
		o.Faulty[kind] = history.Bound{
			Longest:  rapid.SampledFrom([]time.Duration{0, 10, 20, 40, 90}).Draw(t, "longest"),
			Recovery: aDuration.Draw(t, "recovery"),
		}
	}
	return o
}

// anonymous clears which of several invalidations that ended at once is blamed,
// after it has seen that one can be.
func anonymous(t *rapid.T, v history.Verdict) history.Verdict {
	v.Violations = slices.Clone(v.Violations)
	for i, violation := range v.Violations {
		inv := &v.Violations[i].Invalidated
		started, version := violation.Read.Start, violation.Read.Version
		if violation.Reason == history.AtRest {
			started, version = violation.Rest.At, violation.Rest.Version
		}
		if *inv != (history.Invalidated{}) && (inv.Version <= version || started-inv.End != int64(violation.Staleness)) {
			t.Errorf("%v", violation)
		}
		*inv = history.Invalidated{}
	}
	return v
}

func TestJudgeAgreesWithANaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, o := drawHistory(t), drawOptions(t)
		want := anonymous(t, naive{h, o}.judge())
		got := anonymous(t, history.Judge(h, o))
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("(-naive +judge):\n%s", d)
		}
	})
}
