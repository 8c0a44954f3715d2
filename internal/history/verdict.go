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

// Reason says what a violation violates.
type Reason string

// The reasons.
const (
	OwnWrite  Reason = "own write" // a stale read on the instance that invalidated
	Late      Reason = "late"      // a read stale by another instance's invalidation, beyond its bound
	AtRest    Reason = "at rest"   // a tier held what had been declared wrong
	Early     Reason = "early"     // a read of a version before its commit began
	Unknown   Reason = "unknown"   // a read of a version that nobody committed
	Backwards Reason = "backwards" // a record that ends before it starts
)

// Violation is a promise that was not kept, or a record that cannot be true.
type Violation struct {
	Reason Reason

	Read        Read        // what violates, but not AtRest
	Rest        Rest        // what violates AtRest
	Invalidated Invalidated // what had declared it wrong, for OwnWrite, Late and AtRest
	Note        string      // a commit or a fault that runs Backwards

	Staleness time.Duration // from the end of Invalidated
	Bound     time.Duration // what was allowed
}

// at is the time by which violations are ordered.
func (v Violation) at() int64 {
	switch {
	case v.Read != Read{}:
		return v.Read.Start
	case v.Rest != Rest{}:
		return v.Rest.At
	}
	return v.Invalidated.Start
}

// String tells the violation in a line.
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

// Verdict is what a judge found. A history is as promised if there are no
// Violations; what that is worth the counts tell.
type Verdict struct {
	Reads         int
	Commits       int
	Invalidations int
	Rests         map[string]int // by tier
	Faults        map[string]int // by kind

	// Stale counts the reads that were stale for longer than Options.Delivery,
	// excused or not.
	Stale int

	// LongestStaleness is how long the stalest read was stale, from the earliest
	// invalidation of any instance that it was stale by. It has the reads by the
	// kind of fault that held them up: by the one that allows most, and the first
	// by name of those that allow the same. A kind that excuses nothing has those
	// that it touched, and no other could have held up. Under "" are the reads
	// without a fault.
	LongestStaleness map[string]time.Duration

	// LongestAfter is how long after the end of that fault, or of the last one
	// that allows the same, those of these reads began that were stale for longer
	// than Options.Delivery.
	LongestAfter map[string]time.Duration

	// Violations has all of them, by the time of the read. A read that violates
	// several promises is there once for each.
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

// String tells the verdict, with the first violations.
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
