package history_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nearside-go/nearside/internal/history"
)

// The promises of the tests, in nanoseconds: what another instance did is known
// after 10; under a cut within 100, and until 30 after it; under a pause within 30,
// and until 10 after it.
var promises = history.Options{
	Delivery: 10,
	Faulty: map[string]history.Bound{
		"cut":   {Longest: 100, Recovery: 20},
		"pause": {Longest: 30},
	},
}

// commits are of key k, to versions 1 to 9, at the times 1 to 9.
func commits() (all []history.Commit) {
	for v := int64(1); v < 10; v++ {
		all = append(all, history.Commit{Key: "k", Version: v, Start: v, End: v})
	}
	return all
}

func read(instance int, version, start int64) history.Read {
	return history.Read{Instance: instance, Key: "k", Version: version, Start: start, End: start + 5}
}

func invalidated(instance int, version, end int64) history.Invalidated {
	return history.Invalidated{Instance: instance, Key: "k", Version: version, Start: end - 5, End: end}
}

func fault(kind string, instance int, start, end int64) history.Fault {
	return history.Fault{Kind: kind, Instance: instance, Start: start, End: end}
}

func rest(version, at int64) history.Rest {
	return history.Rest{Tier: "local", Instance: 2, Key: "k", Version: version, At: at}
}

func TestJudge(t *testing.T) {
	for _, tt := range judged {
		t.Run(tt.name, func(t *testing.T) {
			tt.h.Commits = append(commits(), tt.h.Commits...)
			v := history.Judge(tt.h, promises)
			var got reasons
			for _, violation := range v.Violations {
				got = append(got, fmt.Sprintf("%s %v > %v", violation.Reason, violation.Staleness, violation.Bound))
				if !strings.Contains(v.String(), violation.String()) {
					t.Errorf("the verdict does not print %v", violation)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("violations (-want +got):\n%s", d)
			}
			if v.Stale != tt.stale {
				t.Errorf("%d stale reads, want %d", v.Stale, tt.stale)
			}
		})
	}
}

func TestOwnReadsHaveTheirBound(t *testing.T) {
	h := history.History{Commits: commits(), Invalidated: invs{invalidated(1, 1, 100)},
		Reads: reads{read(1, 0, 103), read(1, 0, 104)}}
	v := history.Judge(h, history.Options{Own: 3, Delivery: 10})
	if len(v.Violations) != 1 || v.Violations[0].Staleness != 4 {
		t.Error(v)
	}
}

func TestVerdictCounts(t *testing.T) {
	h := history.History{
		Commits:     commits(),
		Invalidated: invs{invalidated(1, 1, 100), invalidated(1, 2, 400)},
		Reads:       reads{read(2, 0, 150), read(3, 1, 140), read(2, 1, 404), read(1, 1, 401), read(2, 2, 900)},
		Faults:      cuts{fault("cut", 2, 110, 120), fault("pause", 2, 90, 130), fault("pause", 2, 600, 700)},
		Rests:       rests{rest(2, 1000)},
	}
	got := history.Judge(h, promises)
	want := history.Verdict{
		Reads: 5, Commits: 9, Invalidations: 2, Rests: map[string]int{"local": 1}, Stale: 1,
		Faults:           map[string]int{"cut": 1, "pause": 2},
		LongestStaleness: map[string]time.Duration{"": 4, "cut": 50},
		LongestAfter:     map[string]time.Duration{"cut": 30},
		Violations: []history.Violation{
			{Reason: history.OwnWrite, Read: read(1, 1, 401), Invalidated: invalidated(1, 2, 400), Staleness: 1}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Whatever fills the list of violations, a verdict can be read.
func TestVerdictPrintsSomeViolations(t *testing.T) {
	h := history.History{Invalidated: invs{invalidated(1, 1, 100)}}
	for i := range int64(1000) {
		h.Reads = append(h.Reads, read(1, 0, 2000-i))
	}
	v := history.Judge(h, promises)
	if len(v.Violations) != 1000 || v.Violations[0].Read != h.Reads[999] {
		t.Errorf("%d violations, the first %v", len(v.Violations), v.Violations[0])
	}
	s := v.String()
	if n := strings.Count(s, "own write:"); n != 20 || !strings.HasSuffix(s, "and 980 more\n") {
		t.Errorf("%d violations are printed:\n%s", n, s)
	}
}
