package history_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nearside-go/nearside/internal/history"
)

func TestClientsRecordSideBySide(t *testing.T) {
	var r history.Recorder
	var want history.History
	var wg sync.WaitGroup
	for i := range 8 {
		h := history.History{}
		for n := range int64(100) {
			h.Reads = append(h.Reads, read(i, n, n))
			h.Commits = append(h.Commits, history.Commit{Key: strconv.Itoa(i), Version: n})
			h.Invalidated = append(h.Invalidated, invalidated(i, n, n))
			h.Faults = append(h.Faults, fault("cut", i, n, n))
			h.Rests = append(h.Rests, rest(n, int64(i)))
		}
		want.Merge(h)
		wg.Go(func() { record(r.Client(), h) })
	}
	wg.Wait()
	// Which client came first is left to chance.
	order := cmpopts.SortSlices(func(a, b any) bool { return fmt.Sprint(a) < fmt.Sprint(b) })
	if d := cmp.Diff(want, r.History(), order); d != "" {
		t.Errorf("(-want +recorded):\n%s", d)
	}
}

func record(c *history.Client, h history.History) {
	for i := range h.Reads {
		c.Read(h.Reads[i])
		c.Commit(h.Commits[i])
		c.Invalidated(h.Invalidated[i])
		c.Fault(h.Faults[i])
		c.Rest(h.Rests[i])
	}
}

const inChild = "HISTORY_TEST_PRINT_NOW"

// The time of a process that starts in between lies in between.
func TestNowIsTheSameInAllProcesses(t *testing.T) {
	if os.Getenv(inChild) != "" {
		fmt.Println("now", history.Now())
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has one clock for all processes")
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), inChild+"=1")
	before := history.Now()
	out, err := cmd.Output()
	after := history.Now()
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	now, err := strconv.ParseInt(strings.TrimPrefix(line, "now "), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if now <= before || now >= after {
		t.Errorf("%d in the child, from %d to %d here", now, before, after)
	}
}

func TestNowDoesNotGoBack(t *testing.T) {
	last := history.Now()
	for range 10_000 {
		now := history.Now()
		if now < last {
			t.Fatalf("%d after %d", now, last)
		}
		last = now
	}
}
