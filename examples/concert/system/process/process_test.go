package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/process"
)

func TestMain(m *testing.M) {
	process.Main(map[string]process.Role{
		"echo": func(ctx context.Context, config []byte, ready func(string)) error {
			ready(strings.Trim(string(config), `"`))
			<-ctx.Done()
			return nil
		},
		"fail": func(context.Context, []byte, func(string)) error { return errors.New("there is no paper") },
		"mute": func(ctx context.Context, config []byte, _ func(string)) error {
			if file := strings.Trim(string(config), `"`); file != "null" {
				if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
					return err
				}
			}
			<-ctx.Done()
			return nil
		},
		"deaf": func(_ context.Context, _ []byte, ready func(string)) error { ready(""); select {} },
		"panic": func(context.Context, []byte, func(string)) error {
			panic("out of ink")
		},
		"parent": func(_ context.Context, _ []byte, ready func(string)) error {
			child, err := process.Start(context.Background(), "echo", "the child", "x", time.Minute)
			if err != nil {
				return err
			}
			ready(strconv.Itoa(child.Pid()))
			select {}
		},
	})
	os.Exit(m.Run())
}

const within = 20 * time.Second

func start(t *testing.T, role string) *process.Process {
	t.Helper()
	p, err := process.Start(t.Context(), role, "the "+role, "here", within)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestARoleReportsItsAddress(t *testing.T) {
	p := start(t, "echo")
	if p.Addr != "here" {
		t.Errorf("the address is %q", p.Addr)
	}
	if err := p.End(within); err != nil {
		t.Error(err)
	}
	if p.Alive() {
		t.Error("it lives on after its end")
	}
}

func TestARoleThatDoesNotStart(t *testing.T) {
	for role, want := range map[string]string{
		"fail":  "there is no paper",
		"panic": "out of ink",
		"none":  `there is no role "none"`,
	} {
		if _, err := process.Start(t.Context(), role, "it", nil, within); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", role, err, want)
		}
	}
	if _, err := process.Start(t.Context(), "mute", "it", nil, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "it is not ready after") {
		t.Errorf("error %v, want that it is not ready", err)
	}
}

func TestAProcessThatDoesNotEndIsKilled(t *testing.T) {
	p := start(t, "deaf")
	if err := p.End(50 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("error %v, want that it was killed", err)
	}
	if p.Alive() {
		t.Error("it lives on")
	}
}

func TestAHungProcessCanBeEnded(t *testing.T) {
	p := start(t, "echo")
	if err := p.Hang(); err != nil {
		t.Fatal(err)
	}
	if err := p.End(within); err != nil {
		t.Error(err)
	}
}

func TestAChildEndsWithItsParent(t *testing.T) {
	parent := start(t, "parent")
	child, err := strconv.Atoi(parent.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if !runs(child) {
		t.Fatal("there is no child")
	}
	parent.Kill()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); runs(child); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("the child lives on after its parent was killed")
		}
	}
}

// runs reports whether a process runs. One that has ended and was not waited for by anybody
// does not.
func runs(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) || !isLinux()
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if state, ok := strings.CutPrefix(lines.Text(), "State:"); ok {
			return !strings.Contains(state, "Z")
		}
	}
	return true
}

func isLinux() bool {
	_, err := os.Stat("/proc/self/status")
	return err == nil
}

func TestAProgram(t *testing.T) {
	p, err := process.Program{Name: "the echo", File: "sh", Args: []string{"-c", "echo spoken $WORD; echo unspoken >&2"}, Env: []string{"WORD=word"}}.Start()
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if got := p.Output(); got != "spoken word\nunspoken\n" {
		t.Errorf("the output is %q", got)
	}
	if _, err := (process.Program{Name: "nothing", File: "/there/is/no/such/program"}).Start(); err == nil || !strings.Contains(err.Error(), "start nothing") {
		t.Errorf("error %v, want that it does not start", err)
	}
}
