package process_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/process"
)

// TestAStartEndsWithItsContext: the process, which is not ready yet, is gone then.
func TestAStartEndsWithItsContext(t *testing.T) {
	stopped := errors.New("stopped")
	for name, start := range map[string]func(ctx context.Context, pidFile string) error{
		"a role": func(ctx context.Context, pidFile string) error {
			_, err := process.Start(ctx, "mute", "it", pidFile, within)
			return err
		},
		"a program": func(ctx context.Context, pidFile string) error {
			p, err := sleeper(pidFile)
			if err != nil {
				return err
			}
			return p.Await(ctx, within, func() error { return errors.New("not yet") })
		},
		"a program that does not answer": func(ctx context.Context, pidFile string) error {
			p, err := sleeper(pidFile)
			if err != nil {
				return err
			}
			return p.Await(ctx, within, func() error {
				<-p.Done()
				return errors.New("no answer")
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			pidFile := filepath.Join(t.TempDir(), "pid")
			ctx, stop := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- start(ctx, pidFile) }()
			pid := awaitPid(t, pidFile)
			begun := time.Now()
			stop(stopped)
			if err := <-ended; !errors.Is(err, stopped) || time.Since(begun) > within {
				t.Errorf("error %v after %v, want one at once that wraps %q", err, time.Since(begun), stopped)
			}
			if runs(pid) {
				t.Error("it lives on")
			}
		})
	}
}

// sleeper starts a program that writes its id to a file.
func sleeper(pidFile string) (*process.Process, error) {
	return process.Program{Name: "it", File: "sh", Args: []string{"-c", "echo $$ >" + pidFile + "; exec sleep 60"}}.Start()
}

func awaitPid(t *testing.T, file string) int {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); ; <-tick.C {
		text, _ := os.ReadFile(file) // there is none at first
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return pid
		}
		if time.Now().After(end) {
			t.Fatalf("no process has written its id to %s", file)
		}
	}
}

// TestAProcessLivesOnAfterTheContextOfItsStart: the context bounds the wait alone.
func TestAProcessLivesOnAfterTheContextOfItsStart(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	role, err := process.Start(ctx, "echo", "the role", "here", within)
	if err != nil {
		t.Fatal(err)
	}
	defer role.Kill()
	program, err := sleeper(filepath.Join(t.TempDir(), "pid"))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Kill()
	if err := program.Await(ctx, within, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	stop()
	select {
	case <-role.Done():
		t.Error("the role has ended")
	case <-program.Done():
		t.Error("the program has ended")
	case <-time.After(50 * time.Millisecond):
	}
}
