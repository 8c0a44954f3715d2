package peers_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/document"
	"github.com/nearside-go/nearside/internal/redistest"
)

var (
	speed = flag.Bool("speed", false, "measure what calls cost, for docs/performance.md")
	rows  = flag.String("rows", ".*", "what is measured, as a regular expression of whole names")
	docs  = flag.String("docs", "", "the `folder` of the document that the tables and plots are written to")
)

// TestSpeed measures how fast the libraries are, all of them in turns in one run: the machine
// is fast in one moment and slow in the next, and ratios of one moment say more than times.
func TestSpeed(t *testing.T) {
	if !*speed {
		t.Skip("no figures without -speed")
	}
	redistest.Require(t)
	silence()
	r := &report{t: t, only: regexp.MustCompile("^(" + *rows + ")$")}
	r.measure("LocalHits", localSpeed)
	r.measure("LocalKeys", localKeys)
	r.measure("Memory", memory)
	r.measure("RedisHits", redisHits)
	r.measure("RedisCPU", redisCPU)
	r.measure("Misses", misses)
	r.measure("Batches", batches)
	r.measure("Stampede", stampedeWaits)
	r.measure("Outages", outages)
	r.measure("Deletes", deletes)
	r.write()
}

// report is what TestSpeed has found out.
type report struct {
	t       *testing.T
	only    *regexp.Regexp
	targets strings.Builder // the rows of the table of targets
	rows    strings.Builder // the rows of the table of all libraries
	plots   []drawn
}

func (r *report) measure(name string, f func(*testing.T, *report)) {
	if r.only.MatchString(name) {
		r.t.Run(name, func(t *testing.T) { f(t, r) })
	}
}

// target adds a row to the table of targets.
func (r *report) target(what, target, measured string, met bool) {
	verdict := "yes"
	if !met {
		verdict = "**no**"
	}
	fmt.Fprintf(&r.targets, "| %s | %s | %s | %s |\n", what, target, measured, verdict)
}

// row adds a row to the table of all libraries: medians, as a multiple of that of the first,
// which is the library beneath. It marks nearside where another library is faster.
func (r *report) row(what string, all []*timed) {
	var cells []string
	fastest := slices.MinFunc(all, func(a, b *timed) int { return cmp.Compare(median(a.over(all[0])), median(b.over(all[0]))) })
	for _, c := range all {
		cell := fmt.Sprintf("%s %.2f", c.name, median(c.over(all[0])))
		if c == fastest {
			cell = "**" + cell + "**"
		}
		cells = append(cells, cell)
	}
	first := "yes"
	if fastest.name != peers.Nearside {
		first = "no"
	}
	fmt.Fprintf(&r.rows, "| %s | %.0f | %s | %s |\n", what, median(all[0].ns), strings.Join(cells, ", "), first)
}

func (r *report) write() {
	targets := "| what | target | measured: median (least to most) | met |\n|---|---|---|---|\n" + r.targets.String()
	rows := "| what | ns of the first | times the first | nearside is fastest |\n|---|---|---|---|\n" + r.rows.String()
	fmt.Printf("\n%s\n%s\n%s\n", targets, rows, versions(r.t))
	if *docs == "" || r.t.Failed() {
		return
	}
	path := filepath.Join(*docs, "performance.md")
	var images strings.Builder
	for _, p := range r.plots {
		fmt.Fprintf(&images, "\n![%s](performance/%s)\n", p.title, p.name)
		if err := os.WriteFile(filepath.Join(*docs, "performance", p.name), p.svg, 0o644); err != nil {
			r.t.Error(err)
		}
	}
	if err := document.Write(path, "bench-peers", targets+"\n"+rows+images.String()); err != nil {
		r.t.Error(err)
	}
}

const (
	turns    = 15
	turnTime = 30 * time.Millisecond
)

// timed is a library, a call, and the nanoseconds of a call in each turn.
type timed struct {
	name string
	call func(i int) error
	rest func() // waits for what the calls of a turn have left to do; nil for nothing
	ns   []float64
	n    int // calls of a turn
}

// over returns c's nanoseconds as multiples of those of other, turn by turn.
func (c *timed) over(other *timed) (ratios []float64) {
	for i := range c.ns {
		ratios = append(ratios, c.ns[i]/other.ns[i])
	}
	return ratios
}

// spread formats ratios.
func spread(ratios []float64) string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
}

// inTurns times the calls of all on so many goroutines, a turn each again and again.
func inTurns(t *testing.T, goroutines int, all []*timed) {
	t.Helper()
	for _, c := range all {
		c.ns = nil
		for c.n = goroutines; ; c.n *= 2 {
			if took := spreadOver(t, goroutines, c); took > turnTime/2 {
				c.n = max(int(float64(c.n)*float64(turnTime)/float64(took)), goroutines)
				break
			}
		}
	}
	for range turns {
		runtime.GC()
		for _, c := range all {
			c.ns = append(c.ns, float64(spreadOver(t, goroutines, c))/float64(c.n))
		}
	}
}

// spreadOver makes c's calls on so many goroutines, and returns the time that all took.
func spreadOver(t *testing.T, goroutines int, c *timed) time.Duration {
	t.Helper()
	errs := make([]error, goroutines)
	start := time.Now()
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := g; i < c.n; i += goroutines {
				if err := c.call(i); err != nil {
					errs[g] = err
				}
			}
		})
	}
	all.Wait()
	if c.rest != nil {
		c.rest()
	}
	took := time.Since(start)
	for _, err := range errs {
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	return took
}

// by says how many goroutines there are.
func by(goroutines int) string {
	if goroutines == 1 {
		return "1 goroutine"
	}
	return fmt.Sprint(goroutines, " goroutines")
}

// find returns the one of a name.
func find(all []*timed, name string) *timed {
	return all[slices.IndexFunc(all, func(c *timed) bool { return c.name == name })]
}
