package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/process"
)

// mainEnv makes the test binary the program itself.
const mainEnv = "CONCERT_TEST_MAIN"

func TestMain(m *testing.M) {
	process.Main(roles)
	if os.Getenv(mainEnv) != "" {
		_ = os.Unsetenv(mainEnv)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// taken returns an address that is taken.
func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestWhatCannotStart(t *testing.T) {
	addr := taken(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"the balancer's port is taken": {[]string{"-addr", addr}, "the load balancer cannot listen at " + addr},
		"the page's port is taken":     {[]string{"-serve", "-page", addr}, "the page cannot listen at " + addr},
		"every interface":              {[]string{"-addr", "0.0.0.0:0"}, `"0.0.0.0:0" is not an address of the loopback interface`},
		"no port":                      {[]string{"-page", "127.0.0.1"}, `"127.0.0.1" is not an address of the loopback interface`},
		"an unknown flag":              {[]string{"-long"}, "flag provided but not defined: -long"},
		"unknown servers":              {[]string{"-servers", "suse"}, `there are no servers "suse": they are embedded or debian`},
		"an argument":                  {[]string{"short"}, `unexpected argument "short"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			var out strings.Builder
			if err := run(t.Context(), &out, c.args); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			checkNothingIsLeft(t, os.TempDir())
		})
	}
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, []string{"-h"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"-short", "-serve", "-servers kind", "-addr address", "-page address"} {
		if !strings.Contains(out.String(), name) {
			t.Errorf("the usage does not mention %s:\n%s", name, out.String())
		}
	}
}

// checkNothingIsLeft is for the files in a folder, and for the processes that were started with
// that folder as the one for temporary files.
func checkNothingIsLeft(t *testing.T, dir string) {
	t.Helper()
	if files, err := filepath.Glob(filepath.Join(dir, "nearside-*")); err != nil || len(files) > 0 {
		t.Errorf("files are left: %v, error %v", files, err)
	}
	if left := processesOf(t, dir); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// processesOf returns the ids of the processes of roles and of servers whose folder for temporary
// files is dir. It finds none where there is no /proc.
func processesOf(t *testing.T, dir string) (ids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		process := filepath.Dir(file)
		env, err := os.ReadFile(file)
		cwd, cwdErr := os.Readlink(filepath.Join(process, "cwd")) // PostgreSQL writes over its environment
		if err != nil || cwdErr != nil {
			continue // it has ended, or is another user's
		}
		text := "\x00" + string(env)
		ofDir := strings.Contains(text, "\x00TMPDIR="+dir+"\x00") || strings.HasPrefix(cwd, dir+"/")
		if ofDir && !strings.Contains(text, "\x00"+mainEnv+"=") {
			ids = append(ids, filepath.Base(process))
		}
	}
	return ids
}

// kind is the kind of servers that a -serve has in the tests.
var kind = flag.String("servers", "embedded", "the kind of servers of TestServeEndsWithAllItsProcesses")

// TestServeEndsWithAllItsProcesses ends a -serve in each of the ways in which one ends.
func TestServeEndsWithAllItsProcesses(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		end  func(*exec.Cmd) error
		code int
	}{
		"Ctrl-C":  {func(p *exec.Cmd) error { return p.Process.Signal(os.Interrupt) }, 0},
		"SIGTERM": {func(p *exec.Cmd) error { return p.Process.Signal(syscall.SIGTERM) }, 0},
		"SIGKILL": {func(p *exec.Cmd) error { return p.Process.Kill() }, -1},
		"a panic": {func(p *exec.Cmd) error { return p.Process.Signal(syscall.SIGQUIT) }, 2}, // ends like one, on any goroutine
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil { // for the users of servers
				t.Fatal(err)
			}
			p := exec.Command(self, "-serve", "-short", "-servers", *kind, "-page", "127.0.0.1:0")
			p.Env = append(os.Environ(), "TMPDIR="+dir, mainEnv+"=1")
			if c.code != 2 { // the stacks of all goroutines are of no interest
				p.Stderr = os.Stderr
			}
			out, err := p.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			defer p.Process.Kill()
			watchThePage(t, pageIn(t, bufio.NewScanner(out)))
			if runtime.GOOS == "linux" && len(processesOf(t, dir)) == 0 {
				t.Error("there are no processes that could be left")
			}
			if err := c.end(p); err != nil {
				t.Fatal(err)
			}
			_ = p.Wait() // the exit status is looked at below
			if got := p.ProcessState.ExitCode(); got != c.code {
				t.Errorf("exit status %d, want %d", got, c.code)
			}
			if c.code == 0 {
				checkNothingIsLeft(t, dir)
				return
			}
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for end := time.Now().Add(20 * time.Second); len(processesOf(t, dir)) > 0; <-tick.C {
				if time.Now().After(end) {
					t.Fatalf("processes are left: %v", processesOf(t, dir))
				}
			}
		})
	}
}

// pageIn returns the address of the page in the output of -serve.
func pageIn(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Watch it at "); ok {
			url, _, _ := strings.Cut(rest, " ")
			go func() {
				for lines.Scan() { // so that the program is not held up
				}
			}()
			return strings.TrimSuffix(url, ".")
		}
	}
	t.Fatal("no line has the address of the page")
	return ""
}

// watchThePage reads the stream of the page until it has shown an instance that is ready.
func watchThePage(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), `"state":"ready"`) {
			return
		}
	}
	t.Fatal("the page has shown no instance that is ready")
}
