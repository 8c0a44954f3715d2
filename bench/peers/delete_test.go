package peers_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/bench/peers"
	"github.com/nearside-go/nearside/internal/redistest"
)

// staleFill:
//
//  1. A loads a key, and has read the old value.
//  2. The source changes. An instance deletes the key.
//  3. The load of A returns the old value.
//  4. Later A, B and an instance that is new read the key.
func staleFill(t *testing.T, p peers.Peer) cell {
	server := redistest.Start(t)
	var stays [2]bool
	for n, other := range []bool{false, true} {
		key := fmt.Sprintf("deleted-by-other-%v", other)
		began, release := make(chan struct{}), make(chan struct{})
		var loads atomic.Int64
		src := &source{}
		src.delay = func(context.Context) error {
			if loads.Add(1) == 1 {
				close(began)
				<-release
			}
			return nil
		}
		s := peers.Settings{Load: src.load}
		a, b := open(t, p, server, s), open(t, p, server, s)
		settle()
		done := make(chan error)
		go func() { _, err := get(a, key); done <- err }()
		<-began
		src.version.Add(1)
		if other {
			mustDelete(t, b, key)
		} else {
			mustDelete(t, a, key)
		}
		close(release)
		if err := <-done; err != nil {
			t.Fatalf("get: %v", err)
		}
		settle()
		for _, reader := range []peers.Instance{open(t, p, server, s), b, a} {
			if mustGet(t, reader, key) != src.version.Load() {
				stays[n] = true
			}
		}
	}
	var c cell
	c.want(!stays[0], "the old value stays after a delete by the instance that loads")
	c.want(!stays[1], "the old value stays after a delete by another instance")
	c.text = map[[2]bool]string{
		{false, false}: "no",
		{true, true}:   "yes",
		{false, true}:  "yes, if another instance deletes",
		{true, false}:  "yes, if the instance that loads deletes",
	}[stays]
	return c
}

const (
	copyRounds = 51
	copyWait   = 2 * time.Second       // after which a copy counts as not invalidated
	copyMost   = 20 * time.Millisecond // of nearside's median, on a busy machine too
)

// staleCopy measures the time from the return of a delete by B until A reads the new value.
func staleCopy(t *testing.T, p peers.Peer) cell {
	server, src := redistest.Start(t), &source{}
	s := peers.Settings{Load: src.load}
	a, b := open(t, p, server, s), open(t, p, server, s)
	settle()
	var c cell
	var took []time.Duration
	first := 0 // rounds in which the first read was fresh
	for range copyRounds {
		change(t, src, a, b)
		stale, polls := untilFresh(t, src, a)
		if stale >= copyWait {
			c.text = fmt.Sprintf("yes, still after %g s", copyWait.Seconds())
			c.want(false, "the old value is served for %v", copyWait)
			return c
		}
		if polls == 1 {
			first++
		}
		took = append(took, stale)
	}
	late := lateReads(t, src, a, b)
	c.want(median(took) <= copyMost, "the old value is served for %v", median(took))
	c.want(late == 0, "a first read after %v is old", settling)
	switch {
	case late > 0:
		c.text = fmt.Sprintf("the first read is still old; the value is new %s later", short(median(took)))
	case first == copyRounds:
		c.text = "no"
	default:
		c.text = fmt.Sprintf("for %s (median)", short(median(took)))
	}
	if !p.LocalTier {
		c.text = "no local tier; " + c.text
	}
	return c
}

// change lets both instances read the key, changes the source and deletes the key on b.
func change(t *testing.T, src *source, a, b peers.Instance) {
	t.Helper()
	for _, i := range []peers.Instance{a, b, a, b} {
		mustGet(t, i, "k")
		<-time.After(settling / 10)
	}
	src.version.Add(1)
	mustDelete(t, b, "k")
}

// untilFresh reads on a until the value is new, or copyWait has passed.
func untilFresh(t *testing.T, src *source, a peers.Instance) (took time.Duration, polls int) {
	t.Helper()
	start := time.Now()
	for took < copyWait {
		polls++
		age := mustGet(t, a, "k")
		took = time.Since(start)
		if age == src.version.Load() {
			break
		}
		if took < settling/10 {
			runtime.Gosched()
		} else {
			<-time.After(time.Millisecond)
		}
	}
	return took, polls
}

// lateReads returns how many of a few first reads are old that come a while after a delete.
func lateReads(t *testing.T, src *source, a, b peers.Instance) int {
	t.Helper()
	old := 0
	for range 3 {
		change(t, src, a, b)
		settle()
		if mustGet(t, a, "k") != src.version.Load() {
			old++
		}
		settle()
	}
	return old
}
