package scenario

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/load"
)

func TestARowSaysWhatIsWrong(t *testing.T) {
	refused := errors.New("refused")
	good := Cell{Report: load.Report{P50: 1234567, P99: 98 * time.Millisecond}, Requests: 10, Queries: 5, Remark: "well"}
	failed := good
	failed.Failures, failed.First = 2, refused
	wrong := good
	wrong.Err = errors.New("a stale seat")
	for name, c := range map[string]struct {
		row  Row
		want string
	}{
		"all is well":     {Row{"kill", good, good}, ""},
		"failed requests": {Row{"kill", failed, good}, "kill, with nearside: 2 of 10 requests failed, the first with: refused"},
		"a wrong state":   {Row{"kill", good, wrong}, "kill, without a cache: a stale seat"},
	} {
		t.Run(name, func(t *testing.T) {
			switch err := c.row.Err(); {
			case c.want == "" && err != nil:
				t.Errorf("error %v, want none", err)
			case c.want != "" && (err == nil || err.Error() != c.want):
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestTheTable(t *testing.T) {
	var out strings.Builder
	PrintHeading(&out)
	cell := Cell{Report: load.Report{P50: 1234567, P99: 98 * time.Millisecond}, Requests: 10, Queries: 5, Remark: "well"}
	Row{"kill", cell, cell}.Print(&out)
	lines := strings.Split(out.String(), "\n")
	if got, want := strings.Join(strings.Fields(lines[2]), " "), "kill 10 0 1.23ms 98ms 5 10 0 1.23ms 98ms 5 well"; got != want {
		t.Errorf("the row is %q, want %q", got, want)
	}
	if columns := strings.Fields(lines[1]); len(columns) != 11 {
		t.Errorf("the columns are %q, want 11", columns)
	}
}

// TestSharesAreThoseOfTheLatestReads: an instance answers locally, and later from the database.
func TestSharesAreThoseOfTheLatestReads(t *testing.T) {
	var latest tiers
	before := tiers{local: 100}
	for look := range 60 {
		latest.fade()
		after := before
		if look < 30 {
			after.local += 50
		} else {
			after.source += 50
		}
		latest.add(before, after)
		before = after
		if share := latest.source / latest.all(); look < 30 && share != 0 || look > 55 && share < 0.9 {
			t.Errorf("at look %d the database has the share %v", look, share)
		}
	}
}
