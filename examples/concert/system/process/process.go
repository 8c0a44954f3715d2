// Package process starts other processes of the system, and ends them with their parent.
//
// A role is a process of the same program: an environment variable names the role, and
// Main runs the role in place of the program. A role reports its address on its standard output.
// A role ends when its standard input ends, so no role outlives its parent, however the parent
// ends. On Linux the kernel ends a role, too, even a stopped one.
package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	roleEnv   = "CONCERT_ROLE"
	configEnv = "CONCERT_CONFIG"
)

// Process is a process that this process has started. Its methods are safe for concurrent use.
type Process struct {
	Name string // for messages
	Addr string // the address that the role has reported; "" for a program

	cmd    *exec.Cmd
	stdin  io.Closer // the process ends with it
	output *tail
	done   chan struct{} // closed when the process has been waited for
}

// Start starts a process in a role, and returns when the process is ready. config is
// encoded as JSON. within and ctx bound the wait, not the life of the process.
func Start(ctx context.Context, role, name string, config any, within time.Duration) (*Process, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, configEnv+"="+string(text))
	stdout, its, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = its
	p, err := launch(name, cmd)
	_ = its.Close() // the process has one of its own
	if err != nil {
		_ = stdout.Close()
		return nil, err
	}
	report := make(chan error, 1)
	go func() { report <- p.readReport(stdout) }()
	select {
	case err = <-report:
	case <-time.After(within):
		err = fmt.Errorf("%s is not ready after %v", name, within)
	case <-ctx.Done():
		err = fmt.Errorf("%s is not ready: %w", name, context.Cause(ctx))
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		p.Kill()
		if errors.Is(err, errEnded) {
			err = fmt.Errorf("%s %w: %s", name, err, p.output)
		}
		return nil, err
	}
	return p, nil
}

var errEnded = errors.New("ended before it was ready")

// readReport waits for the line that the role writes when it is ready, or when it fails.
func (p *Process) readReport(stdout io.ReadCloser) error {
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		_ = stdout.Close()
	}()
	if err != nil {
		return errEnded
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if word != "ready" {
		return errors.New(rest)
	}
	p.Addr = rest
	return nil
}

func launch(name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{Name: name, cmd: cmd, output: &tail{}, done: make(chan struct{})}
	cmd.Stderr = p.output
	return p, p.launch()
}

func (p *Process) launch() (err error) {
	cmd := p.cmd
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	setAttributes(cmd.SysProcAttr)
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	return nil
}

// run starts the process and waits for its end, on one thread. On Linux the kernel ends the
// process when the thread that started it ends, so the thread has to stay.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = p.cmd.Wait() // the exit status of a killed process carries no information
	close(p.done)
}

// Pid returns the id of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Alive reports whether the process runs, or is stopped.
func (p *Process) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Hang stops the process with SIGSTOP: its connections stay, and nothing answers.
// On a busy machine the process stops a moment after Hang has returned.
func (p *Process) Hang() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a Hang.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// End sends SIGTERM to the process, and kills it if it has not ended within a time.
func (p *Process) End(within time.Duration) error { return p.EndBy(syscall.SIGTERM, within) }

// EndBy is End with another signal.
func (p *Process) EndBy(signal os.Signal, within time.Duration) error {
	_ = p.Resume()
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.done:
		return nil
	case <-time.After(within):
		p.Kill()
		return fmt.Errorf("%s had not ended %v after it was asked to, and was killed", p.Name, within)
	}
}

// Output returns the last lines that the process wrote.
func (p *Process) Output() string { return p.output.String() }
