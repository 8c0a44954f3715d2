package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// maxPrinted bounds the violations that a verdict prints.
const maxPrinted = 20

// Reason is the rule that a violation breaks.
type Reason string

// The reasons.
const (
	OwnWrite  Reason = "own write" // a stale read on the instance that invalidated
	Late      Reason = "late"      // stale beyond the bound, by another instance's invalidation
	AtRest    Reason = "at rest"   // an invalid version in a tier at rest
	Early     Reason = "early"     // a read of a version before its commit began
	Unknown   Reason = "unknown"   // a read of a version without a commit
	Backwards Reason = "backwards" // a record that ends before it starts
)

// Violation is a broken promise, or a record that cannot be true.
type Violation struct {
	Reason Reason

	Read        Read        // the violating read; zero for AtRest
	Rest        Rest        // the violating version in a tier, for AtRest
	Invalidated Invalidated // the invalidation, for OwnWrite, Late and AtRest
	Note        string      // a commit or a fault that runs Backwards

	Staleness time.Duration // from the end of Invalidated
	Bound     time.Duration // the allowed staleness
}

// at returns the time by which violations are sorted.
func (v Violation) at() int64 {
	switch {
	case v.Read != Read{}:
		return v.Read.Start
	case v.Rest != Rest{}:
		return v.Rest.At
	}
	return v.Invalidated.Start
}

// String returns the violation as one line.
func (v Violation) String() string {
	switch v.Reason {
	case OwnWrite, Late:
		return fmt.Sprintf("%s: %+v was stale for %v, allowed are %v, by %+v", v.Reason, v.Read, v.Staleness, v.Bound, v.Invalidated)
	case AtRest:
		return fmt.Sprintf("%s: %+v, declared wrong %v before by %+v", v.Reason, v.Rest, v.Staleness, v.Invalidated)
	case Backwards:
		if v.Note != "" {
			return fmt.Sprintf("%s: %s", v.Reason, v.Note)
		}
		if v.Read == (Read{}) {
			return fmt.Sprintf("%s: invalidation %+v", v.Reason, v.Invalidated)
		}
	}
	return fmt.Sprintf("%s: read %+v", v.Reason, v.Read)
}

// Verdict is the result of a judge. The promises were kept if there are no Violations; the
// counts show how much evidence there is.
type Verdict struct {
	Reads         int
	Commits       int
	Invalidations int
	Rests         map[string]int // by tier
	Faults        map[string]int // by kind

	// Stale counts the reads that were stale for longer than Options.Delivery, excused or
	// not.
	Stale int

	// LongestStaleness is the staleness of the stalest read, by kind of fault. The
	// staleness counts from the earliest invalidation, by any instance, that makes the read
	// stale.
	//
	// The kind is the kind of the fault that delayed the invalidation. Of several faults
	// the one that allows most counts, and of equal ones the first by name. A kind without
	// a bound has the reads that such a fault touched and no other fault could have
	// delayed. The kind "" has the reads without a fault.
	LongestStaleness map[string]time.Duration

	// LongestAfter is how long after the end of the fault a read began that was stale for
	// longer than Options.Delivery, by the same kinds. Of faults that allow the same, the
	// end of the last one counts.
	LongestAfter map[string]time.Duration

	// Violations has all violations, by the time of the read. A read that breaks several
	// promises has an element for each.
	Violations []Violation
}

func newVerdict(h History) Verdict {
	v := Verdict{
		Reads:            len(h.Reads),
		Commits:          len(h.Commits),
		Invalidations:    len(h.Invalidated),
		Rests:            make(map[string]int),
		Faults:           make(map[string]int),
		LongestStaleness: make(map[string]time.Duration),
		LongestAfter:     make(map[string]time.Duration),
	}
	for _, r := range h.Rests {
		v.Rests[r.Tier]++
	}
	for _, f := range h.Faults {
		v.Faults[f.Kind]++
	}
	return v
}

// String returns the counts and the first violations.
func (v Verdict) String() string {
	var b strings.Builder
	rests := 0
	for _, n := range v.Rests {
		rests += n
	}
	fmt.Fprintf(&b, "%d reads, %d commits, %d invalidations, %d values at rest; %d stale, %d violations\n",
		v.Reads, v.Commits, v.Invalidations, rests, v.Stale, len(v.Violations))
	kinds := slices.Collect(maps.Keys(v.Faults))
	slices.Sort(kinds)
	fmt.Fprintf(&b, "without a fault: stale for at most %v\n", v.LongestStaleness[""])
	for _, k := range kinds {
		fmt.Fprintf(&b, "%s, %d times: stale for at most %v\n", k, v.Faults[k], v.LongestStaleness[k])
	}
	for i, violation := range v.Violations {
		if i == maxPrinted {
			fmt.Fprintf(&b, "and %d more\n", len(v.Violations)-i)
			break
		}
		fmt.Fprintln(&b, violation)
	}
	return b.String()
}
