package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

const second = int64(time.Second)

// readAt returns a read of a version by instance 1.
func readAt(version, start int64) call {
	return call{of: 1, key: 0, version: version, start: start, end: start + 1, added: -1}
}

// invalidatedAt returns an invalidation by that instance.
func invalidatedAt(instance int, version, end int64) history.Invalidated {
	return history.Invalidated{Instance: instance, Key: "k0", Version: version, Start: end - 1, End: end}
}

// TestStaleReadsAreFound: a read is stale beyond the bound on any instance, the one that
// invalidated included.
func TestStaleReadsAreFound(t *testing.T) {
	bound := Config{Local: localTTL}.bound()
	for _, instance := range []int{0, 1} {
		p := past{bound: bound, invalidated: []history.Invalidated{invalidatedAt(instance, 5, second)}}
		within, beyond := readAt(4, second+int64(bound)), readAt(4, second+int64(bound)+1)
		p.calls = []call{within, readAt(5, 9*second)}
		if n, oldest := p.stale(); n != 0 || oldest != bound {
			t.Errorf("instance %d: %d stale reads, the oldest %v, want 0 and %v", instance, n, oldest, bound)
		}
		p.calls = append(p.calls, beyond)
		if n, _ := p.stale(); n != 1 {
			t.Errorf("instance %d: %d stale reads, want 1", instance, n)
		}
	}
}

// TestWhatASoakForgetsHidesNoStaleRead: the last invalidation of a key is kept.
func TestWhatASoakForgetsHidesNoStaleRead(t *testing.T) {
	p := past{bound: localTTL, invalidated: []history.Invalidated{
		invalidatedAt(0, 2, 2*second), invalidatedAt(0, 3, 3*second), invalidatedAt(1, 1, 4*second), invalidatedAt(1, 4, 90*second),
	}}
	kept := p.recent(60 * second)
	slices.SortFunc(kept, func(a, b history.Invalidated) int { return int(a.Version - b.Version) })
	if len(kept) != 2 || kept[0].Version != 3 || kept[1].Version != 4 {
		t.Fatalf("kept %+v, want versions 3 and 4", kept)
	}
	later := past{calls: []call{readAt(2, 91*second)}, invalidated: kept, bound: localTTL}
	if n, _ := later.stale(); n != 1 {
		t.Errorf("%d stale reads, want 1", n)
	}
}

// TestBoundsAreChecked breaks each bound of a row that is well.
func TestBoundsAreChecked(t *testing.T) {
	price := Spread{P99: time.Millisecond} // of a call without Redis
	well := Row{Result: Result{Healed: time.Millisecond, Open: price, Beside: price, Calmly: price}, Fault: Fault{gone: true}}
	if wrong := append(well.Wrong(), well.Missed()...); len(wrong) > 0 {
		t.Fatalf("a row that is well: %q", wrong)
	}
	for name, tt := range map[string]struct {
		breaks func(*Row)
		missed string
		fails  bool
	}{
		"failed reads":           {func(r *Row) { r.During.Failed = 1 }, "failed", true},
		"stale reads":            {func(r *Row) { r.After.Stale = 1 }, "stale", true},
		"stale reads of a loss":  {func(r *Row) { r.Fault.loses, r.Lost = true, 1 }, "stale", true},
		"old reads of a loss":    {func(r *Row) { r.Fault.loses, r.After.Stale = true, 1 }, "", false},
		"hits come back late":    {func(r *Row) { r.Healed = time.Second }, "healed", false},
		"hits are late, but due": {func(r *Row) { r.Healed, r.Fault.lingers = time.Second, 900*time.Millisecond }, "", false},
		"hits never come back":   {func(r *Row) { r.Healed = -1 }, "healed", true},
		"hits are not expected":  {func(r *Row) { r.Fault.always, r.Healed = true, -1 }, "", false},
		"calls cost more":        {func(r *Row) { r.Open.P99 += 51 * time.Microsecond }, "added", false},
		"all calls cost more": {func(r *Row) {
			r.Open.P99 += 51 * time.Microsecond
			r.Beside.P99 += 51 * time.Microsecond
		}, "slows", false},
		"calls cost a budget":     {func(r *Row) { r.Open.P50, r.Open.P99 = 50*time.Millisecond, 50*time.Millisecond }, "added", true},
		"calls cost, Redis there": {func(r *Row) { r.Fault.gone, r.Open.P99 = false, time.Second }, "", false},
		"lines":                   {func(r *Row) { r.Lines, r.Stderr = make([]string, 6), make([]string, 4) }, "lines", false},
		"a flood of lines":        {func(r *Row) { r.Stderr = make([]string, 200) }, "lines", true},
		"goroutines":              {func(r *Row) { r.Left = 1 }, "goroutines", false},
	} {
		r := well
		tt.breaks(&r)
		if missed := strings.Join(r.Missed(), " "); missed != tt.missed {
			t.Errorf("%s: missed %q, want %q", name, missed, tt.missed)
		}
		if fails := len(r.Wrong()) > 0; fails != tt.fails {
			t.Errorf("%s: %q", name, r.Wrong())
		}
	}
}

// TestSoakFindsGrowth: what grows, or is left, is reported.
func TestSoakFindsGrowth(t *testing.T) {
	first := []Sample{{Goroutines: 9, Heap: 20 << 20, Descriptors: 60}}
	for name, last := range map[string]Sample{
		"goroutines":    {Goroutines: 900, Heap: 20 << 20, Descriptors: 60},
		"KiB of heap":   {Goroutines: 9, Heap: 60 << 20, Descriptors: 60},
		"descriptors":   {Goroutines: 9, Heap: 20 << 20, Descriptors: 600},
		"invalidations": {Goroutines: 9, Heap: 20 << 20, Descriptors: 60, Unconfirmed: 1},
	} {
		wrong := Soaked{First: first, Last: []Sample{last}}.Wrong()
		if len(wrong) != 1 || !strings.Contains(wrong[0], name) {
			t.Errorf("%s: %q", name, wrong)
		}
	}
	if wrong := (Soaked{First: first, Last: first}).Wrong(); len(wrong) > 0 {
		t.Errorf("the same at first and at last: %q", wrong)
	}
}

// TestSpread: the median, the 99th percentile and the maximum.
func TestSpread(t *testing.T) {
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(199-i))
	}
	if got, want := spread(all), (Spread{200, 100, 198, 199}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestLoadsAreHeldAgainstTheFirstSide: by their rate.
func TestLoadsAreHeldAgainstTheFirstSide(t *testing.T) {
	side := func(name string, loads int64, took time.Duration) Row {
		return Row{Fault: Fault{Name: name}, Result: Result{During: Phase{Loads: loads, Took: took}}}
	}
	text := Loads([]Row{side("first", 1000, time.Second), side("second", 10, 2*time.Second)})
	for _, want := range []string{"| 1000 | 1.000 | 0 |\n", "| 10 | 0.005 | 0 |\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table has no %q:\n%s", want, text)
		}
	}
}
