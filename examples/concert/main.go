// Concert starts the concert booking service of this folder, scales, breaks and rolls it under
// load, and prints what its users noticed:
//
//	go run ./examples/concert
//
// The service and its servers are the module in the folder system, so that their
// dependencies do not weigh on other examples. This program builds the module and runs it, with
// the arguments of the command line.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "concert:", err)
		code = 1
	}
	os.Exit(code)
}

// run builds the system, runs it, and returns its exit status.
func run(args []string) (code int, err error) {
	if runtime.GOOS == "windows" {
		return 0, errors.New("the scenario stops processes with SIGSTOP, which Windows does not have")
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	folder, err := systemFolder()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "nearside-concert-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "concert")
	fmt.Fprintln(os.Stderr, "concert: building; the first time this takes a few minutes")
	build := command("go", "build", "-o", program, ".")
	build.Dir, build.Env = folder, append(os.Environ(), "GOWORK=off")
	if _, err := supervise(build, signals); err != nil {
		return 0, fmt.Errorf("build the system: %w", err)
	}
	system := command(program, args...)
	system.Env = append(os.Environ(), "CONCERT_LAUNCHED=1")
	input, err := system.StdinPipe() // it ends with this program, and then the system ends, too
	if err != nil {
		return 0, err
	}
	defer input.Close()
	return supervise(system, signals)
}

// systemFolder returns the folder of the system's module, which is beside this package.
func systemFolder() (string, error) {
	const this = "github.com/nearside-go/nearside/examples/concert"
	list := exec.Command("go", "list", "-f", "{{.Dir}}", this)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("find the folder of %s, which needs a clone of nearside: %w", this, err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "system"), nil
}

func command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// supervise runs a command, and passes signals on to it. If this program's parent ends, the
// command is asked to end, too: "go run" passes only the signals of a terminal on.
func supervise(cmd *exec.Cmd, signals <-chan os.Signal) (code int, err error) {
	parent := os.Getppid()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	watch := time.NewTicker(200 * time.Millisecond)
	defer watch.Stop()
	for {
		select {
		case err := <-done:
			var exit *exec.ExitError
			if errors.As(err, &exit) && cmd.Args[0] != "go" && exit.Exited() {
				return exit.ExitCode(), nil
			}
			return 0, err
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it has ended, or it gets the signal
		case <-watch.C:
			if os.Getppid() != parent {
				_ = cmd.Process.Signal(syscall.SIGTERM)
			}
		}
	}
}
