package chaos

import (
	"slices"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// Phase has the figures of one phase: before, during or after the fault.
type Phase struct {
	Took    time.Duration
	Reads   int
	Failed  int
	Loads   int64
	Stale   int           // reads that were stale beyond the bound
	Oldest  time.Duration // the longest staleness of a read
	Slowest time.Duration // call
	Added   Spread        // by calls that loaded, beyond their loads
}

// Spread describes a set of durations.
type Spread struct {
	Count         int
	P50, P99, Max time.Duration
}

// Result is the report of the process at its end.
type Result struct {
	Before, During, After Phase

	Open   Spread        // Added during the fault, after its first second
	Beside Spread        // the same of the instance without Redis
	Calmly Spread        // of that instance before the fault
	Lost   int           // reads of the last two phases that were stale beyond the bound, later than Config.Noticing after the end of the fault
	Healed time.Duration // from the end of the fault until every instance had a Redis hit; -1 without
	Silent time.Duration // the longest time that an instance had no Redis hit, since the fault began
	Calm   int           // goroutines before the fault
	Peak   int           // goroutines at most, since the fault began
	Left   int           // goroutines after Close, beyond those before Open
	Lines  []string      // in the Logger
	Errors []string      // of reads, and of Close
}

func spread(all []time.Duration) Spread {
	if len(all) == 0 {
		return Spread{}
	}
	slices.Sort(all)
	return Spread{len(all), all[len(all)/2], all[len(all)*99/100], all[len(all)-1]}
}

// past has everything that the readers and writers did.
type past struct {
	calls       []call
	invalidated []history.Invalidated
	bound       time.Duration // how old a read may be
}

func (l *load) past() past {
	return past{slices.Concat(l.calls...), slices.Concat(l.earlier, slices.Concat(l.invalidated[:]...)), l.bound}
}

// between returns the calls that began between two times.
func (p past) between(from, to int64) past {
	var calls []call
	for _, c := range p.calls {
		if from <= c.start && c.start < to {
			calls = append(calls, c)
		}
	}
	return past{calls, p.invalidated, p.bound}
}

// stale returns the number of calls that were stale beyond the bound, and the longest
// staleness of all calls. A call is stale beyond the bound if an Invalidate of a newer
// version had returned nil more than the bound before the call began, on any instance.
func (p past) stale() (int, time.Duration) {
	h := history.History{Invalidated: p.invalidated}
	for _, c := range p.calls {
		if !c.failed {
			h.Reads = append(h.Reads, c.read())
		}
	}
	v := history.Judge(h, history.Options{Own: p.bound, Delivery: p.bound})
	return v.Stale, v.LongestStaleness[""]
}

func (p past) added() Spread {
	var all []time.Duration
	for _, c := range p.calls {
		if !c.failed && c.added >= 0 {
			all = append(all, c.added)
		}
	}
	return spread(all)
}

func (p past) figures(took time.Duration, loads int64) Phase {
	f := Phase{Took: took, Reads: len(p.calls), Failed: p.failed(), Loads: loads, Added: p.added()}
	f.Stale, f.Oldest = p.stale()
	for _, c := range p.calls {
		f.Slowest = max(f.Slowest, time.Duration(c.end-c.start))
	}
	return f
}

func (p past) failed() (n int) {
	for _, c := range p.calls {
		if c.failed {
			n++
		}
	}
	return n
}

// mark is the beginning of a phase, or the end of the last one.
type mark struct {
	at    int64
	loads int64
}

// figuresOf returns the figures of the phase between two marks.
func (p past) figuresOf(from, to mark) Phase {
	return p.between(from.at, to.at).figures(time.Duration(to.at-from.at), to.loads-from.loads)
}
