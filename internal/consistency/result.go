package consistency

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// Result is the outcome of a fleet's run.
type Result struct {
	History history.History
	Verdict history.Verdict
	Summary Summary // the sum over the processes that lived to the end
	Options Options
}

func (f *Fleet) result() *Result {
	f.t.Helper()
	r := &Result{History: f.history, Options: f.o}
	files, err := filepath.Glob(filepath.Join(f.dir, "*.jsonl"))
	if err != nil || len(files) != f.started {
		f.t.Fatalf("%d files of %d processes, %v", len(files), f.started, err)
	}
	for _, path := range files {
		h, err := history.Load(path)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // of a killed process
			f.t.Fatal(err)
		}
		r.History.Merge(h)
	}
	missing, err := f.source.Missing(context.Background(), r.History, Keys(), f.begun, history.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	r.History.Commits = append(r.History.Commits, missing...)
	for _, s := range f.sums {
		r.Summary.Failed += s.Failed
		r.Summary.Loads += s.Loads
		r.Summary.Misses += s.Misses
		r.Summary.Gaps += s.Gaps
	}
	r.Verdict = history.Judge(r.History, Bounds(f.o.Local, f.o.Cluster))
	return r
}

// String returns the result as a table.
func (r *Result) String() string {
	var b strings.Builder
	v := r.Verdict
	fmt.Fprintf(&b, "| Local.TTL | %v |\n|---|---|\n", r.Options.Local)
	fmt.Fprintf(&b, "| reads | %d |\n| commits | %d |\n| invalidations of a key | %d |\n", v.Reads, v.Commits, v.Invalidations)
	fmt.Fprintf(&b, "| reads that failed | %d |\n", r.Summary.Failed)
	fmt.Fprintf(&b, "| reads that were stale for more than %v | %d |\n", slack, v.Stale)
	fmt.Fprintf(&b, "| **stale beyond the bound, or left behind at rest** | **%d** |\n", len(v.Violations))
	fmt.Fprintf(&b, "| entries looked at at rest in local tiers | %d |\n| and in Redis | %d |\n", v.Rests["local"], v.Rests["redis"])
	if r.Summary.Misses > 0 {
		fmt.Fprintf(&b, "| loads for each miss | %.3f |\n", float64(r.Summary.Loads)/float64(r.Summary.Misses))
	}
	fmt.Fprintf(&b, "\n| fault | how often | the longest | longest staleness of a read that it touched | bound | longest after its end | bound |\n|---|---|---|---|---|---|---|\n")
	fmt.Fprintf(&b, "| none | | | %v | %v | | |\n", ms(v.LongestStaleness[""]), slack)
	for _, f := range faults(r.Options.Cluster) {
		fmt.Fprintf(&b, "| %s | %d | %v | %v | ", f.kind, v.Faults[f.kind], ms(r.longest(f.kind)), ms(v.LongestStaleness[f.kind]))
		if f.recovery == nothing {
			fmt.Fprintf(&b, "%v | | |\n", slack)
			continue
		}
		fmt.Fprintf(&b, "%v | %v | %v |\n", r.bound(f), ms(v.LongestAfter[f.kind]), f.recovery+slack)
	}
	return b.String()
}

// bound returns the longest allowed staleness under one fault that delays the log, as text.
// The fault may strike when an entry is just due. The delayed entry is due again after the
// recovery.
func (r *Result) bound(f fault) string {
	if r.Options.Local < standsAtMost {
		return (r.Options.Local + slack).String()
	}
	return fmt.Sprintf("its length + %v", slack+f.recovery+slack)
}

// Missing returns the kinds of fault that never struck.
func (r *Result) Missing() (kinds []string) {
	for _, f := range faults(r.Options.Cluster) {
		if r.Verdict.Faults[f.kind] == 0 {
			kinds = append(kinds, f.kind)
		}
	}
	return kinds
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// longest returns the duration of the longest fault of a kind.
func (r *Result) longest(kind string) (longest time.Duration) {
	for _, f := range r.History.Faults {
		if f.Kind == kind {
			longest = max(longest, time.Duration(f.End-f.Start))
		}
	}
	return longest
}
