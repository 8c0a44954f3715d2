package servers_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/process"
	"github.com/nearside-go/nearside/examples/concert/system/servers"
)

var debian = flag.Bool("debian", false, "a test fails if Debian's servers are not installed")

func TestMain(m *testing.M) {
	process.Main(map[string]process.Role{servers.RedisRole: servers.RunMiniredis})
	os.Exit(m.Run())
}

func TestAMissingServerIsNamed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir) // there is nothing
	t.Setenv("TMPDIR", dir)
	_, err := servers.Start(t.Context(), "debian")
	for _, want := range []string{"scripts/concert-servers installs", "no Redis is installed (Debian: the package redis-server)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, error %v", left, err)
	}
}

// TestStartEndsWithItsContext: the context ends once a redis-server has started that is never
// ready. The start of each server ends with the cause, and leaves nothing.
func TestStartEndsWithItsContext(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a redis-server is used on Linux only")
	}
	for kind, starts := range map[string]int{"embedded": 1, "debian": 3} {
		t.Run(kind, func(t *testing.T) {
			dir := folder(t)
			t.Setenv("TMPDIR", dir)
			started := neverReady(t)
			stopped := errors.New("stopped")
			ctx, stop := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() {
				_, err := servers.Start(ctx, kind)
				ended <- err
			}()
			await(t, "a redis-server has started", func() bool {
				select {
				case err := <-ended:
					if err != nil && strings.Contains(err.Error(), "scripts/concert-servers installs") {
						if *debian {
							t.Fatal(err)
						}
						t.Skip(err)
					}
					t.Fatalf("it has ended too soon: %v", err)
				default:
				}
				text, err := os.ReadFile(started)
				return err == nil && len(text) > 0
			})
			stop(stopped)
			if err := <-ended; !errors.Is(err, stopped) || strings.Count(err.Error(), stopped.Error()) != starts {
				t.Errorf("error %v, want %d times %q", err, starts, stopped)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
				t.Errorf("files are left: %v, error %v", left, err)
			}
			await(t, "all processes are gone", func() bool { return !anyOf(t, dir) }) // Erlang's own need a moment
		})
	}
}

// folder returns a folder that the users of servers can enter.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// neverReady makes the redis-server on the PATH one that does not listen. It writes to a file when
// it starts.
func neverReady(t *testing.T) (started string) {
	t.Helper()
	dir := folder(t)
	started = filepath.Join(dir, "started")
	script := fmt.Sprintf("#!/bin/sh\necho started >%s\nexec sleep 60\n", started)
	err := errors.Join(
		os.WriteFile(started, nil, 0o600), os.Chmod(started, 0o666), // for the user of Redis
		os.WriteFile(filepath.Join(dir, "redis-server"), []byte(script), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return started
}

// anyOf reports whether there is a process whose folder for temporary files is dir.
func anyOf(t *testing.T, dir string) bool {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		env, _ := os.ReadFile(file)                                     // it has ended, or is another user's
		cwd, _ := os.Readlink(filepath.Join(filepath.Dir(file), "cwd")) // PostgreSQL writes over its environment
		if strings.Contains("\x00"+string(env), "\x00TMPDIR="+dir+"\x00") || strings.HasPrefix(cwd, dir+"/") {
			return true
		}
	}
	return false
}

// within is for what takes milliseconds on a calm machine.
const within = 20 * time.Second

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not so after %v: %s", within, what)
		}
	}
}
