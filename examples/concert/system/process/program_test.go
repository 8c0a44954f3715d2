package process_test

import (
	"errors"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/process"
)

// other is a user that every system has.
const other = "nobody"

// TestAProgramOfAnotherUser: root's programs run as a user that is named, and can write to a
// folder of that user. All others run as the user of this process.
func TestAProgramOfAnotherUser(t *testing.T) {
	want := strconv.Itoa(os.Getuid())
	if process.IsRoot() {
		u, err := user.Lookup(other)
		if err != nil {
			t.Fatal(err)
		}
		want = u.Uid
	}
	dir, err := process.Folder(other)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p, err := process.Program{Name: "id", File: "sh", Args: []string{"-c", "id -u > " + dir + "/uid"}, User: other}.Start()
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if got, err := os.ReadFile(dir + "/uid"); err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("it ran as %q, error %v, want %s; it wrote %q", got, err, want, p.Output())
	}
}

func TestAwaitSaysWhyAProgramIsNotReady(t *testing.T) {
	notYet := errors.New("not yet")
	for script, want := range map[string]string{
		"echo out of paper; exit 1": "the printer ended before it was ready: out of paper",
		"exec sleep 60":             "the printer is not ready after 50ms: not yet",
	} {
		p, err := process.Program{Name: "the printer", File: "sh", Args: []string{"-c", script}}.Start()
		if err != nil {
			t.Fatal(err)
		}
		bound := 50 * time.Millisecond
		if strings.HasPrefix(script, "echo") {
			bound = within
		}
		if err := p.Await(t.Context(), bound, func() error { return notYet }); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if p.Alive() {
			t.Error("it lives on")
		}
	}
}

// TestAPortThatAnotherProcessTakesIsLeftToIt: only then others are tried.
func TestAPortThatAnotherProcessTakesIsLeftToIt(t *testing.T) {
	failed := errors.New("failed")
	calls := 0
	if err := process.OnFreeAddr(func(string) error { calls++; return failed }); !errors.Is(err, failed) || calls != 1 {
		t.Errorf("%d calls, error %v, want one", calls, err)
	}
	var first string
	err := process.OnFreeAddrs(2, func(addrs []string) error {
		if first != "" {
			if addrs[0] == first || addrs[1] == first {
				t.Errorf("%s is tried again", first)
			}
			return nil
		}
		first = addrs[1]
		l, err := net.Listen("tcp", first)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		return failed
	})
	if err != nil || first == "" {
		t.Errorf("error %v, want none", err)
	}
}
