package chaos

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/child"
	"github.com/nearside-go/nearside/internal/history"
	"github.com/nearside-go/nearside/internal/redistest"
)

// Options are the times of a row.
type Options struct {
	Before, During, After time.Duration // the phases, where they do not end by themselves
	Deadline              time.Duration // of each read

	// Noticing is for how long after the end of a fault that has lost writes old values may
	// still be served: until an instance notices the loss.
	Noticing time.Duration
}

// Row is the outcome of a fault.
type Row struct {
	Result
	Fault  Fault
	Stderr []string // lines, since the fault began
}

// Play starts the servers and the process of a fault, causes the fault, and returns what
// the process reports.
func Play(t testing.TB, f Fault, o Options) Row {
	t.Helper()
	s := &scene{t: t, lasts: o.During, config: Config{
		Deadline: o.Deadline, Noticing: o.Noticing, Heals: !f.always, Ill: f.always || f.dead,
		Readers: readers, Beside: beside, Local: localTTL,
	}}
	f.on(s)
	if f.dead {
		s.server.Kill()
	}
	c := startCast(t, s.config)
	if !s.config.Ill {
		c.ask(warm)
	}
	c.ask(phase)
	wait(o.Before)
	c.ask(phase)
	calm := 0 // lines
	if !s.config.Ill {
		calm = len(c.stderr.All())
	}
	c.ask(fmt.Sprint(mend, " ", f.cause(s)))
	wait(o.after(f))
	r := Row{Result: c.leave(), Fault: f}
	r.Stderr = c.stderr.All()[calm:]
	return r
}

// after returns how long the readers run after the fault. Where writes are lost, they run for
// longer than the loss may go unnoticed.
func (o Options) after(f Fault) time.Duration {
	if f.loses {
		return max(o.After, o.Noticing+2*time.Second)
	}
	return o.After
}

// cause causes the fault while it lasts, and returns when it ended, in the time of package
// history.
func (f Fault) cause(s *scene) int64 {
	mend := nothing
	if f.strike != nil {
		mend = f.strike(s)
	}
	for until := time.Now().Add(s.lasts); !f.brief && time.Now().Before(until); {
		if f.again == nil {
			wait(time.Until(until))
			break
		}
		f.again(s)
		wait(f.every)
	}
	mend()
	return history.Now()
}

func wait(d time.Duration) { <-time.After(d) }

// cast is the process of the instances, as its parent sees it.
type cast struct {
	*child.Process
	t      testing.TB
	stderr *redistest.Lines
}

func startCast(t testing.TB, c Config) cast {
	t.Helper()
	stderr := &redistest.Lines{}
	p := cast{child.Start(t, Env, c, stderr), t, stderr}
	if said := p.Hear(); said != "running" {
		t.Fatalf("the process said %q; it wrote %q", said, stderr.All())
	}
	return p
}

// ask sends a command, and returns when the process has carried it out.
func (c cast) ask(command string) {
	c.t.Helper()
	c.Tell(command)
	if said := c.Hear(); said != "done" {
		c.t.Fatalf("%s: the process said %q; it wrote %q", command, said, c.stderr.All())
	}
}

// leave ends the process, and returns its result.
func (c cast) leave() Result {
	c.t.Helper()
	c.Tell(end)
	said := c.Hear()
	var r Result
	if err := json.Unmarshal([]byte(said), &r); err != nil {
		c.t.Fatalf("the process said %q; it wrote %q", said, c.stderr.All())
	}
	c.Kill()
	return r
}
