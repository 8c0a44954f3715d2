package journal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/internal/journal"
	"github.com/nearside-go/nearside/cache/remote"
)

const maxAge = time.Minute

var errDown = errors.New("down")

// tier is a remote tier that counts the attempts for each name.
type tier struct {
	mu       sync.Mutex
	err      func(name string) error // nil: all is well
	calls    int
	attempts map[string][]time.Duration // since the start
	start    time.Time
	under    int
	most     int
	takes    time.Duration
	tells    bool // which names have failed; otherwise all of a call fail together
}

func (t *tier) deliver(ctx context.Context, names []string) (failed []string, err error) {
	t.mu.Lock()
	t.calls++
	t.under++
	t.most = max(t.most, t.under)
	for _, name := range names {
		t.attempts[name] = append(t.attempts[name], time.Since(t.start))
		if t.err != nil && t.err(name) != nil {
			failed, err = append(failed, name), errors.Join(err, t.err(name))
		}
	}
	if err != nil && !t.tells {
		failed = names
	}
	takes := t.takes
	t.mu.Unlock()
	time.Sleep(takes)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.under--
	return failed, err
}

func (t *tier) fail(err func(string) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// asked returns the number of calls so far, and when each name was attempted.
func (t *tier) asked() (calls int, attempts map[string][]time.Duration) {
	synctest.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls, maps.Clone(t.attempts)
}

func (t *tier) atMost() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.most
}

func down(string) error { return errDown }

// downFor fails the attempts of names.
func downFor(names ...string) func(string) error {
	return func(name string) error {
		if slices.Contains(names, name) {
			return errDown
		}
		return nil
	}
}

func begin(t *testing.T, err func(string) error) (*journal.Journal, *tier) {
	to := &tier{err: err, attempts: make(map[string][]time.Duration), start: time.Now()}
	j := &journal.Journal{Deliver: to.deliver, Everything: "*", MaxAge: maxAge}
	t.Cleanup(func() { j.Close(t.Context()) })
	return j, to
}

// want wants names to be unconfirmed, and others not to be.
func want(t *testing.T, j *journal.Journal, names ...string) {
	t.Helper()
	for _, name := range names {
		if !j.Has(name) {
			t.Errorf("%q is not unconfirmed", name)
		}
	}
	if j.Has("another") {
		t.Error("a name that was never added is unconfirmed")
	}
	if n, all := j.Count(); n != len(names) || all {
		t.Errorf("Count is %d, %v; want %d", n, all, len(names))
	}
}

func TestANameLeavesWhenItIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _ := begin(t, down)
		want(t, j)
		j.Add([]string{"a", "b"})
		want(t, j, "a", "b")
		j.Confirm([]string{"a"}, j.Round())
		want(t, j, "b")
		time.Sleep(maxAge - 1)
		want(t, j, "b")
		time.Sleep(time.Nanosecond)
		want(t, j)
	})
}

// A confirmation by a command that was sent before the name was added.
func TestALateConfirmationLeavesANewerName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _ := begin(t, down)
		j.Add([]string{"a", "b"})
		round := j.Round()
		j.Add([]string{"a"})
		j.Confirm([]string{"a"}, round)
		want(t, j, "a", "b")
		j.Confirm([]string{"*"}, round)
		want(t, j, "a")
		j.Confirm([]string{"a"}, j.Round())
		want(t, j)
	})
}

// Nobody has to read or to invalidate the names again.
func TestNamesAreAttemptedUntilTheyAreConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, to := begin(t, down)
		j.Add([]string{"a"})
		time.Sleep(30 * time.Second)
		want(t, j, "a")
		pause, last := 100*time.Millisecond, time.Duration(0)
		_, attempts := to.asked()
		for i, at := range attempts["a"] {
			if at-last < pause/2 || at-last > pause {
				t.Errorf("attempt %d begins %v after the one before, want a pause of %v to %v", i+1, at-last, pause/2, pause)
			}
			pause, last = min(2*pause, 5*time.Second), at
		}
		to.fail(nil)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		want(t, j)
		before, _ := to.asked()
		time.Sleep(time.Hour)
		if n, _ := to.asked(); n != before {
			t.Errorf("%d attempts when all is confirmed", n-before)
		}
		j.Add([]string{"b"}) // the worker has ended
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		want(t, j)
	})
}

// A new name does not wait for the pause of an old one.
func TestANewNameIsAttemptedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, to := begin(t, down)
		j.Add([]string{"old"})
		time.Sleep(30 * time.Second)
		to.fail(downFor("old"))
		j.Add([]string{"new"})
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		want(t, j, "old")
	})
}

func TestAStuckNameDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := []string{"17", "170"}
		j, to := begin(t, downFor(stuck...))
		to.takes = 10 * time.Millisecond
		var names []string
		for i := range 400 {
			names = append(names, fmt.Sprint(i))
		}
		j.Add(names)
		time.Sleep(time.Second)
		want(t, j, "17", "170")
		if n := to.atMost(); n > 16 {
			t.Errorf("%d attempts at the same time", n)
		}
		_, attempts := to.asked()
		for _, name := range names {
			if n := len(attempts[name]); n > 4 && !slices.Contains(stuck, name) {
				t.Errorf("%d attempts for %q", n, name)
			}
		}
	})
}

// The pauses of an outage do not go on after it, also for a name whose first attempt fails then.
func TestPausesEndWithTheOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, r := begin(t, down)
		j.Add([]string{"a", "b"})
		time.Sleep(maxAge / 2)
		r.fail(downFor("b"))
		j.Drain(t.Context())
		want(t, j, "b")
		r.fail(nil)
		time.Sleep(200 * time.Millisecond)
		want(t, j)
	})
}

// A remote tier that sends nothing is not asked name by name.
func TestAnUnavailableTierIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, to := begin(t, func(string) error { return remote.ErrUnavailable })
		j.Add([]string{"a", "b", "c"})
		j.Drain(t.Context())
		if n, _ := to.asked(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
		to.fail(nil)
		j.Drain(t.Context())
		want(t, j)
		if n, _ := to.asked(); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	})
}

// One part of the remote tier is unavailable, and the others are not.
func TestNamesThatAPartialFailureLeavesAreConfirmedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, to := begin(t, func(name string) error {
			if name == "stuck" {
				return remote.ErrUnavailable
			}
			return nil
		})
		to.tells = true
		j.Add([]string{"a", "stuck", "b"})
		j.Drain(t.Context())
		want(t, j, "stuck")
		if calls, _ := to.asked(); calls != 1 {
			t.Errorf("%d calls, want one", calls)
		}
	})
}

func TestTooManyNamesAreAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, to := begin(t, func(string) error { return remote.ErrUnavailable })
		names := make([]string, 10_001)
		for i := range names {
			names[i] = fmt.Sprint(i)
		}
		before := j.Round()
		if replaced := j.Add(names[:10_000]); replaced != nil || j.Has("another") {
			t.Error("10,000 names are too many")
		}
		replaced := j.Add(names[10_000:])
		slices.Sort(replaced)
		slices.Sort(names)
		if !slices.Equal(replaced, names) || !j.Has("another") {
			t.Errorf("10,001 names are not too many; %d were replaced", len(replaced))
		}
		if n, all := j.Count(); n != 1 || !all {
			t.Errorf("Count is %d, %v", n, all)
		}
		j.Confirm([]string{"*"}, before)
		if !j.Has("another") {
			t.Error("an invalidation that was sent before confirms all")
		}
		to.fail(nil)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		want(t, j)
		if _, attempts := to.asked(); len(attempts["*"]) == 0 {
			t.Error("nothing stands for the names that were too many")
		}
	})
}

// An invalidation of everything that failed says nothing about the names.
func TestEverythingIsAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _ := begin(t, down)
		j.Add([]string{"*"})
		want(t, j, "*")
	})
}

func TestCloseReturnsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, to := begin(t, down)
		j.Add([]string{"a", "b"})
		to.fail(downFor("a"))
		if left := j.Close(t.Context()); !slices.Equal(left, []string{"a"}) {
			t.Errorf("%q are left, want a", left)
		}
		before, _ := to.asked()
		j.Add([]string{"c"})
		time.Sleep(maxAge / 2)
		if n, _ := to.asked(); n != before {
			t.Error("attempts after Close")
		}
	})
}

// The worker is about to begin an attempt when the journal is closed.
func TestCloseEndsAWorkerThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, to := begin(t, down)
		to.takes = time.Second
		j.Add([]string{"a"})
		drained := make(chan struct{})
		go func() {
			j.Drain(t.Context())
			close(drained)
		}()
		time.Sleep(500 * time.Millisecond) // the worker waits for the drain to end
		start := time.Now()
		j.Close(t.Context())
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("Close took %v", took)
		}
		<-drained
	})
}

// Close may come at any moment of an attempt.
func TestCloseDuringAttempts(t *testing.T) {
	for range 500 {
		j := &journal.Journal{
			Deliver:    func(_ context.Context, names []string) ([]string, error) { return names, errDown },
			Everything: "*", MaxAge: time.Hour,
		}
		j.Add([]string{"a", "b"})
		j.Hurry()
		for range rand.IntN(20) {
			runtime.Gosched()
		}
		if left := j.Close(t.Context()); len(left) != 2 {
			t.Fatalf("%q are left", left)
		}
	}
}

// While nothing is sent, a thousand names cost no more than an attempt each 50 ms, and each name
// is attempted at least each 5 s.
func TestManyNamesShareTheirAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, to := begin(t, func(string) error { return remote.ErrUnavailable })
		const names, lasts = 1000, 30 * time.Second
		for i := range names { // so that no two are due at once
			j.Add([]string{fmt.Sprint(i)})
			time.Sleep(7 * time.Millisecond)
		}
		before, _ := to.asked()
		time.Sleep(lasts)
		calls, attempts := to.asked()
		if n := calls - before; n > int(lasts/(50*time.Millisecond)) {
			t.Errorf("%d attempts in %v", n, lasts)
		}
		for name, at := range attempts {
			if last := at[len(at)-1]; time.Since(to.start)-last > 5*time.Second {
				t.Errorf("the last attempt of %s was %v after the start, of %v", name, last, time.Since(to.start))
			}
		}
		if len(attempts) != names {
			t.Errorf("%d names were attempted, want %d", len(attempts), names)
		}
	})
}
