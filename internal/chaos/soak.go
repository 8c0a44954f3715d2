package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// The times of a soak.
const (
	calmAtMost  = time.Minute // at the start, and at the end
	sampleEvery = 5 * time.Second
	struckFor   = 4 * time.Second // at most, and at least a second
	noticing    = 5 * time.Second // old values may be served after a fault that has lost writes
	calmBetween = 3 * time.Second // after noticing, between two faults
)

// Soaked is the outcome of a soak.
type Soaked struct {
	First, Last []Sample // of the calm at the start, and at the end
	Faults      map[string]int

	Reads, Failed, Stale int
	Result               Result // of the end
}

// Soak runs the process on one server behind a link, for a time. At the start and at the end
// there is a calm. Between them random faults come one after the other.
func Soak(t testing.TB, lasts time.Duration, seed uint64) Soaked {
	t.Helper()
	start := time.Now()
	calm := min(calmAtMost, lasts/4)
	s := &scene{t: t, config: Config{Deadline: 20 * time.Second, Heals: true, Readers: readers, Local: localTTL}}
	linked(s)
	c := startCast(t, s.config)
	c.ask(warm)
	r := Soaked{Faults: make(map[string]int)}
	r.First = r.calm(c, calm)
	random := rand.New(rand.NewPCG(seed, 0))
	faults := soakable()
	for time.Since(start) < lasts-calm {
		f := faults[random.IntN(len(faults))]
		s.lasts = time.Second + time.Duration(random.Int64N(int64(struckFor-time.Second)))
		r.disturb(c, f, s)
	}
	r.Last = r.calm(c, calm)
	r.Result = c.leave()
	return r
}

// soakable returns the faults of one server that end.
func soakable() (faults []Fault) {
	for _, f := range slices.Concat(outages(), slowness(), refusals(), losses(), impostors()) {
		if !f.always && !f.dead && !strings.HasSuffix(f.Name, borrowedName) {
			faults = append(faults, f)
		}
	}
	return faults
}

// calm takes samples for a time.
func (r *Soaked) calm(c cast, lasts time.Duration) (samples []Sample) {
	for until := time.Now().Add(lasts); time.Now().Before(until); {
		wait(min(sampleEvery, time.Until(until)))
		samples = append(samples, r.fold(c, true))
	}
	return samples
}

// disturb causes one fault. Stale reads do not count while instances may not have noticed
// yet that Redis has lost writes.
func (r *Soaked) disturb(c cast, f Fault, s *scene) {
	r.Faults[f.Name]++
	f.cause(s)
	r.fold(c, true)
	wait(noticing)
	r.fold(c, !f.loses)
	wait(calmBetween)
	r.fold(c, true)
}

func (r *Soaked) fold(c cast, judged bool) Sample {
	c.t.Helper()
	c.Tell(fold)
	said := c.Hear()
	var s Sample
	if err := json.Unmarshal([]byte(said), &s); err != nil {
		c.t.Fatalf("the process said %q; it wrote %q", said, c.stderr.All())
	}
	r.Reads += s.Reads
	r.Failed += s.Failed
	if judged {
		r.Stale += s.Stale
	}
	return s
}

// String returns the figures of the first and of the last calm side by side.
func (r Soaked) String() string {
	var b strings.Builder
	b.WriteString("| | first | last |\n|---|---|---|\n")
	row := func(name string, of func(Sample) int) {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, lowToHigh(r.First, of), lowToHigh(r.Last, of))
	}
	row("goroutines", func(s Sample) int { return s.Goroutines })
	row("heap in use, KiB", func(s Sample) int { return int(s.Heap >> 10) })
	row("descriptors", func(s Sample) int { return s.Descriptors })
	row("unconfirmed invalidations", func(s Sample) int { return s.Unconfirmed })
	struck := 0
	for _, n := range r.Faults {
		struck += n
	}
	fmt.Fprintf(&b, "\n%d faults of %d kinds, %d reads, %d failed, %d stale beyond the bound, %d goroutines left after Close\n",
		struck, len(r.Faults), r.Reads, r.Failed, r.Stale, r.Result.Left)
	return b.String()
}

func lowToHigh(samples []Sample, of func(Sample) int) string {
	values := column(samples, of)
	return fmt.Sprintf("%d to %d", slices.Min(values), slices.Max(values))
}

func column(samples []Sample, of func(Sample) int) (values []int) {
	for _, s := range samples {
		values = append(values, of(s))
	}
	return values
}

// Wrong returns what has grown, failed or was stale, in words. Connections in use come and
// go, and two goroutines with each. So a growth counts if it is larger than all connections
// of the instances together, or than half of the heap.
func (r Soaked) Wrong() (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	grown := func(name string, by int, of func(Sample) int) {
		first, last := slices.Max(column(r.First, of)), slices.Min(column(r.Last, of))
		if last > first+by {
			say("%s: %d at first, %d at last", name, first, last)
		}
	}
	const connections = instances * 64
	grown("goroutines", 2*connections, func(s Sample) int { return s.Goroutines })
	grown("descriptors", connections, func(s Sample) int { return s.Descriptors })
	grown("KiB of heap", int(r.First[0].Heap>>11)+8<<10, func(s Sample) int { return int(s.Heap >> 10) })
	if r.Failed > 0 || r.Stale > 0 {
		say("%d reads failed, %d were stale beyond the bound", r.Failed, r.Stale)
	}
	if last := r.Last[len(r.Last)-1]; last.Unconfirmed > 0 {
		say("%d invalidations are unconfirmed at the end", last.Unconfirmed)
	}
	if r.Result.Left > 0 {
		say("%d goroutines are left after Close", r.Result.Left)
	}
	return wrong
}
