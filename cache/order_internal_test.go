package cache

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/nearside-go/nearside/loader"
)

// TestAFlightThatFindsACopyThatGoesAnswersNobodyLater forces the steps of doomAnd: a flight
// starts during an Invalidate, and answers when the Invalidate has returned. The pauses are
// for the other goroutines to get on. A pause that is too short finds nothing, and fails
// nothing.
func TestAFlightThatFindsACopyThatGoesAnswersNobodyLater(t *testing.T) {
	const pause = 50 * time.Millisecond
	c, err := New(Options[string, string]{Name: "test", TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Set(t.Context(), "k", "old"); err != nil {
		t.Fatal(err)
	}
	held, release := make(chan struct{}), make(chan struct{})
	go c.loads.DoomAnd("another", func() {
		close(held)
		<-release
	})
	<-held
	invalidated := make(chan error)
	go func() { invalidated <- c.Invalidate(t.Context(), "k") }()
	for !standsIn("dropLocal") { // it waits for the lock of the loads
		runtime.Gosched()
	}
	<-time.After(pause)

	looked, answers, read := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		_, _ = c.share(t.Context(), &c.reads, "k", func() loader.Work[answer[string]] {
			return loader.Work[answer[string]]{
				Quick: func(context.Context, *loader.Flight[answer[string]]) (answer[string], error, bool) {
					a := answer[string]{err: ErrMiss}
					if e, ok := c.local.Peek("k"); ok {
						a = answer[string]{entry: e, from: TierLocal}
					}
					close(looked)
					<-answers
					return a, nil, true
				},
			}
		})
	}()
	select {
	case <-looked:
	case <-time.After(pause):
	}
	close(release)
	if err := <-invalidated; err != nil {
		t.Error(err)
	}
	got := make(chan string)
	go func() {
		v, _ := c.Get(t.Context(), "k")
		got <- v
	}()
	select {
	case <-looked:
	case <-read: // by the flight of the Get
	}
	<-time.After(pause)
	close(answers)
	if v := <-got; v != "" {
		t.Errorf("a Get that began after Invalidate had returned got %q", v)
	}
	<-read
}
