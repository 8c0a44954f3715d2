package redis

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// outageSettles is how long everything must work before an outage is over. Short failures
// and storms of connection resets that recur within this time are one outage.
const outageSettles = time.Second

// outage writes to the Store's Logger about a Redis that does not serve: a line when
// something stops working, and a line when everything has worked again for a while.
type outage struct {
	s *Store

	mu       sync.Mutex       // guards all below
	causes   map[any]struct{} // the breakers that are open, and the logs that cannot be read
	affected []string         // names of the causes since the outage began
	told     bool             // the first line was written, the last one was not
	began    time.Time        // when the first cause was noted
	ended    time.Time        // when the last cause ended
	gap      bool             // log entries may have been missed in the outage
	lost     bool             // redis has lost log entries in the outage
	gapped   time.Time        // when entries were last missed
	losing   time.Time        // when entries were last lost
	over     bool             // the Store is closed
	timer    *time.Timer      // runs while there are no causes, until the outage is over
}

func newOutage(s *Store) *outage { return &outage{s: s, causes: make(map[any]struct{})} }

// begin notes that the cause named what does not work, because of err. It returns a
// function that writes the outage's first line, if the line is due. begin and end are
// called under the lock of the caller, and so in the order of the changes. A Logger must
// not run under that lock.
func (o *outage) begin(cause any, what string, err error) (write func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return func() {}
	}
	o.causes[cause] = struct{}{}
	if o.timer != nil {
		o.timer.Stop()
	}
	first := !o.told
	if first {
		o.told, o.began, o.gap, o.lost, o.affected = true, time.Now(), false, false, nil
	}
	if !slices.Contains(o.affected, what) {
		o.affected = append(o.affected, what)
	}
	if !first {
		return func() {}
	}
	return func() {
		o.s.opts.Logger.WarnContext(o.s.background, "redis does not serve; the source does", "first", what, "error", err)
	}
}

// end notes that a cause works again.
func (o *outage) end(cause any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, is := o.causes[cause]; !is {
		return
	}
	delete(o.causes, cause)
	if len(o.causes) == 0 && !o.over {
		o.ended = time.Now()
		o.timer = time.AfterFunc(outageSettles, o.settle)
	}
}

// settle ends the outage, if nothing has stopped working since the timer was set.
func (o *outage) settle() {
	o.mu.Lock()
	if !o.told || len(o.causes) > 0 || !o.over && time.Since(o.ended) < outageSettles {
		o.mu.Unlock()
		return
	}
	o.told = false
	took, gap, lost, affected := o.ended.Sub(o.began), o.gap, o.lost, strings.Join(o.affected, " ")
	o.mu.Unlock()
	o.s.opts.Logger.InfoContext(context.WithoutCancel(o.s.background), "redis serves again",
		"after", took.Round(time.Millisecond), "affected", affected,
		"entries_may_have_been_missed", gap, "entries_lost", lost)
}

// missed notes a gap, in which log entries may have been missed, or that redis has lost
// entries. In an outage the last line reports that. Otherwise missed writes a line, unless the
// same happened within outageSettles.
func (o *outage) missed(gap, lost bool) {
	line, last := "log entries may have been missed; local tiers are dropped", &o.gapped
	if lost {
		line, last = "redis has lost log entries that it had acknowledged; their invalidations are repeated", &o.losing
	}
	o.mu.Lock()
	again := time.Since(*last) < outageSettles
	*last = time.Now()
	o.gap, o.lost = o.gap || gap, o.lost || lost
	told := o.told
	o.mu.Unlock()
	if !told && !again {
		o.s.opts.Logger.WarnContext(o.s.background, line)
	}
}

// shut ends the notes. An outage without a cause left gets its last line.
func (o *outage) shut() {
	o.mu.Lock()
	o.over = true
	if o.timer != nil {
		o.timer.Stop()
	}
	o.mu.Unlock()
	o.settle()
}
