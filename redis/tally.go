package redis

// The outcomes that Options.FailureRatio is about.
const (
	failureWindow = 256 // the last ones
	minOutcomes   = 100 // before as many are known, the ratio says too little
)

// tally counts the outcomes of commands.
type tally struct {
	inARow int // failures since the last success
	seen   int // outcomes in window
	failed int // of these, failures
	window [failureWindow]bool
	next   int // the place of the next outcome in window
}

// note counts an outcome.
func (t *tally) note(failed bool) {
	t.inARow++
	if !failed {
		t.inARow = 0
	}
	if t.seen < failureWindow {
		t.seen++
	} else if t.window[t.next] {
		t.failed--
	}
	if failed {
		t.failed++
	}
	t.window[t.next] = failed
	t.next = (t.next + 1) % failureWindow
}

// exceeds reports whether more than ratio of the last outcomes are failures.
func (t *tally) exceeds(ratio float64) bool {
	return t.seen >= minOutcomes && float64(t.failed) > ratio*float64(t.seen)
}
