package redistest

import (
	"testing"
	"time"
)

const pollEvery = 2 * time.Millisecond

// Eventually calls ok every 2 ms, on the caller's goroutine, until ok returns true. If ok
// never does so within the given time, Eventually fails t with the sentence what, which
// states the expected outcome. The first call is immediate. The last call comes after
// within.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	if !poll(within, ok) {
		t.Fatalf("not within %v: %s", within, what)
	}
}

// poll is Eventually that reports whether ok returned true.
func poll(within time.Duration, ok func() bool) bool {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	late := time.NewTimer(within)
	defer late.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late.C:
			return ok()
		}
	}
	return true
}
