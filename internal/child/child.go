// Package child runs another process of a test binary, and exchanges lines with it.
//
// The process is the same binary with an environment variable that holds the configuration.
// Its TestMain looks for the variable, and runs the child's code instead of the tests.
package child

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Process is a running child. Its methods are for the goroutine of the test.
type Process struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

// Start starts a process with the variable env, which holds config in JSON. The standard
// error of the process goes to stderr. The end of t kills the process.
func Start(t testing.TB, env string, config any, stderr io.Writer) *Process {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{t: t, cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), env+"="+string(text))
	p.cmd.Stderr = stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// Tell sends a line to the process.
func (p *Process) Tell(line string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.stdin, line); err != nil {
		p.t.Errorf("process %d: %v", p.cmd.Process.Pid, err)
	}
}

// Hear returns the next line of the process. At the end of its output Hear returns the rest
// of it.
func (p *Process) Hear() string {
	line, _ := p.out.ReadString('\n')
	return strings.TrimSpace(line)
}

// Kill ends the process with SIGKILL, and returns when the process is gone and its standard
// error was read. To kill a process again is harmless.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.stdin.Close()
	_ = p.cmd.Wait()
}
