package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nearside-go/nearside/internal/history"
	"github.com/nearside-go/nearside/internal/redistest"
)

// The commands that the process reads from its standard input, one on each line. The process
// answers each command with a line. The answer to end is a Result.
const (
	warm  = "warm"  // answer when every instance has had a Redis hit
	phase = "phase" // the next phase begins
	mend  = "mend"  // the last phase begins; the time of the fault's end follows
	fold  = "fold"  // answer with a Sample
	end   = "end"
)

// process is the process of the instances.
type process struct {
	Config
	log    *redistest.Lines
	source *source
	caches []instance
	load   *load
	beside *load // on an instance without Redis, and a source of its own
	watch  *watch

	marks  []mark // of the phases: four at the end
	mended int64
	lines  int // in the Logger before the fault
	calm   int // goroutines before the fault
	bare   int // goroutines before the instances were opened
}

// Run runs the process. It returns after the command end, or when its input ends.
func Run(config string, in io.Reader, out io.Writer) error {
	p := &process{log: &redistest.Lines{}, source: &source{}}
	if err := json.Unmarshal([]byte(config), &p.Config); err != nil {
		return err
	}
	if err := p.open(); err != nil {
		return err
	}
	fmt.Fprintln(out, "running")
	commands := bufio.NewScanner(in)
	for commands.Scan() {
		if commands.Text() == end {
			return json.NewEncoder(out).Encode(p.end())
		}
		fmt.Fprintln(out, p.obey(commands.Text()))
	}
	return errors.New("the parent is gone")
}

func (p *process) open() error {
	p.bare = runtime.NumGoroutine()
	logger := slog.New(slog.NewTextHandler(p.log, nil))
	for range instances {
		c, err := p.Config.open(logger)
		if err != nil {
			return err
		}
		p.caches = append(p.caches, c)
	}
	p.begin(nil)
	p.watch = newWatch(p.caches)
	return p.openBeside(logger)
}

// openBeside starts the load to which that of the instances is compared: it has the same
// processors at the same time, and no Redis.
func (p *process) openBeside(logger *slog.Logger) error {
	bare := p.Config
	bare.Client = noRedis
	c, err := bare.open(logger)
	if err != nil {
		return err
	}
	p.beside = &load{source: &source{}, caches: []instance{c}, deadline: p.Deadline, calls: make([][]call, p.Beside)}
	p.beside.start(0)
	return nil
}

// begin starts readers and writers. Their calls are judged by earlier invalidations, too.
func (p *process) begin(earlier []history.Invalidated) {
	p.load = &load{
		source: p.source, caches: p.caches, deadline: p.Deadline, bound: p.bound(), earlier: earlier,
		calls: make([][]call, p.Readers),
	}
	p.load.start(writers)
}

// obey carries out a command, and returns the answer.
func (p *process) obey(command string) string {
	name, argument, _ := strings.Cut(command, " ")
	switch name {
	case warm:
		p.watch.mend(0)
		if p.awaitHits() < 0 {
			return "no hits"
		}
	case phase:
		p.mark()
		p.watch.reset()
		p.calm = runtime.NumGoroutine()
		if !p.Ill {
			p.lines = len(p.log.All())
		}
	case mend:
		if _, err := fmt.Sscan(argument, &p.mended); err != nil {
			return err.Error()
		}
		p.mark()
		p.watch.mend(time.Duration(history.Now() - p.mended))
	case fold:
		sample, _ := json.Marshal(p.fold()) // numbers
		return string(sample)
	default:
		return "unknown command"
	}
	return "done"
}

// mark begins a phase.
func (p *process) mark() {
	p.marks = append(p.marks, mark{history.Now(), p.source.loads.Load()})
}

// awaitHits waits until the watch says that all instances are healed, and returns how long
// that took, or -1.
func (p *process) awaitHits() time.Duration {
	late := time.NewTimer(healing)
	defer late.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.watch.healed() < 0 {
		select {
		case <-tick.C:
		case <-late.C:
			return -1
		}
	}
	return p.watch.healed()
}

// end ends the load, closes the instances, and returns the result.
func (p *process) end() Result {
	p.mark()
	healed := p.watch.healed()
	if p.Heals {
		healed = p.awaitHits()
	}
	r := Result{Healed: healed, Silent: p.watch.silent(), Calm: p.calm, Peak: p.watch.goroutines()}
	p.load.stop()
	p.beside.stop()
	p.watch.stop()
	for _, c := range slices.Concat(p.caches, p.beside.caches) {
		if err := c.close(); err != nil {
			r.Errors = append(r.Errors, "close: "+err.Error())
		}
	}
	r.Left = p.left()
	if len(p.marks) == 4 { // not in a soak
		p.judge(&r)
	}
	r.Lines = p.log.All()[p.lines:]
	return r
}

// judge fills in the figures of the phases.
func (p *process) judge(r *Result) {
	past, m := p.load.past(), p.marks
	r.Before, r.During, r.After = past.figuresOf(m[0], m[1]), past.figuresOf(m[1], m[2]), past.figuresOf(m[2], m[3])
	open, end := m[1].at+int64(time.Second), m[2].at
	beside := p.beside.past()
	r.Open, r.Beside = past.between(open, end).added(), beside.between(open, end).added()
	r.Calmly = beside.between(m[0].at, m[1].at).added()
	r.Lost, _ = past.between(p.mended+int64(p.Noticing), m[3].at).stale()
	r.Errors = append(r.Errors, p.load.errors...)
}

// ending is how long goroutines that have nothing left to do may take to end.
const ending = time.Second

// left returns how many goroutines there are beyond those before the instances were opened.
func (p *process) left() int {
	late := time.NewTimer(ending)
	defer late.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > p.bare {
		select {
		case <-tick.C:
		case <-late.C:
			return runtime.NumGoroutine() - p.bare
		}
	}
	return 0
}
