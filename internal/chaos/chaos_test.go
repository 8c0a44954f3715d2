package chaos_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/chaos"
	"github.com/nearside-go/nearside/internal/document"
)

var (
	full   = flag.Bool("full", false, "play the faults of -rows, one after the other, and print the table")
	short  = flag.Bool("brief", false, "play a handful of faults, side by side, for robust bounds only")
	rows   = flag.String("rows", ".*", "the faults, as a regular expression of whole names")
	before = flag.Duration("before", 2*time.Second, "how long the readers run before a fault")
	during = flag.Duration("during", 6*time.Second, "how long a fault lasts that does not end by itself")
	after  = flag.Duration("after", 5*time.Second, "how long the readers run after a fault")
	outage = flag.Duration("outage", 0, "how long the outage takes whose loads are counted; 0 counts none")
	soak   = flag.Duration("soak", 0, "how long the soak takes; 0 runs none")
	seed   = flag.Uint64("seed", rand.Uint64(), "of the faults of the soak")
	table  = flag.String("table", "", "a document whose table is replaced")
)

func TestMain(m *testing.M) {
	if config := os.Getenv(chaos.Env); config != "" {
		if err := chaos.Run(config, os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// TestChaos is the table. The rows come one after the other, on a machine of their own.
func TestChaos(t *testing.T) {
	if !*full {
		t.Skip("no table without -full")
	}
	wanted := regexp.MustCompile("^(?:" + *rows + ")$")
	o := chaos.Options{Before: *before, During: *during, After: *after, Deadline: 2 * time.Second, Noticing: 3 * time.Second}
	var played []chaos.Row
	for _, f := range chaos.Faults() {
		if !wanted.MatchString(f.Name) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) { played = append(played, play(t, f, o)) })
	}
	if len(played) == 0 {
		t.Fatalf("no fault is named %s", *rows)
	}
	text := chaos.Table(played)
	t.Logf("\n%s", text)
	if *table != "" {
		if err := document.Write(*table, "chaos", text); err != nil {
			t.Error(err)
		}
	}
}

// brief are the faults of TestBrief: each kind of servers, each kind of fault, and a side of
// TestLoadsInAnOutage.
var brief = regexp.MustCompile("^(nearside, with its windows|baseline|refused|hung|readonly|old-dump|sentinel-manual|cluster-noreplica-stop-other)$")

// TestBrief plays some faults for a short time each. No bound of it depends on the machine.
func TestBrief(t *testing.T) {
	if !*short {
		t.Skip("no faults without -brief")
	}
	o := chaos.Options{
		Before: time.Second, During: 2 * time.Second, After: time.Second, Deadline: 30 * time.Second, Noticing: 10 * time.Second,
	}
	for _, f := range slices.Concat(chaos.Faults(), chaos.Outages()) {
		if brief.MatchString(f.Name) {
			t.Run(f.Name, func(t *testing.T) {
				t.Parallel()
				play(t, f, o)
			})
		}
	}
}

// TestLoadsInAnOutage counts the loads of the source in a long outage of Redis.
func TestLoadsInAnOutage(t *testing.T) {
	if *outage == 0 {
		t.Skip("no outage without -outage")
	}
	o := chaos.Options{Before: *before, During: *outage, After: *after, Deadline: 2 * time.Second, Noticing: 3 * time.Second}
	var sides []chaos.Row
	for _, f := range chaos.Outages() {
		t.Run(f.Name, func(t *testing.T) { sides = append(sides, play(t, f, o)) })
	}
	text := chaos.Loads(sides)
	t.Logf("\n%s", text)
	for i := range sides[1:] {
		if loads, more := sides[i+1].During.Loads, sides[i].During.Loads; loads >= more {
			t.Errorf("%s: %d loads; %s: %d, want fewer", sides[i].Fault.Name, more, sides[i+1].Fault.Name, loads)
		}
	}
	if *table != "" {
		if err := document.Write(*table, "outage", text); err != nil {
			t.Error(err)
		}
	}
}

// TestSoak runs for a long time, with random faults.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("no soak without -soak")
	}
	t.Logf("seed %d", *seed)
	r := chaos.Soak(t, *soak, *seed)
	t.Logf("\n%s%v", r, r.Faults)
	for _, wrong := range r.Wrong() {
		t.Error(wrong)
	}
}

func play(t *testing.T, f chaos.Fault, o chaos.Options) chaos.Row {
	t.Helper()
	r := chaos.Play(t, f, o)
	t.Logf("\n%s", chaos.Table([]chaos.Row{r}))
	for _, wrong := range r.Wrong() {
		t.Error(wrong)
	}
	if missed := r.Missed(); len(missed) > 0 {
		t.Logf("missed %v; errors %q; stderr %q; log %q", missed, r.Errors, few(r.Stderr), few(r.Lines))
	}
	return r
}

func few(lines []string) []string { return lines[:min(len(lines), 12)] }
