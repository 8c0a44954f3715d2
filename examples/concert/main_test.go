package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestTheSystemIsBesideThisProgram(t *testing.T) {
	folder, err := systemFolder()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "go.mod")); err != nil {
		t.Errorf("the system is no module: %v", err)
	}
}

func TestTheExitStatusIsPassedOn(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
	}{{[]string{"true"}, 0}, {[]string{"false"}, 1}, {[]string{"sh", "-c", "exit 3"}, 3}} {
		if code, err := supervise(exec.Command(c.args[0], c.args[1:]...), nil); code != c.code || err != nil {
			t.Errorf("%q: exit status %d, error %v, want %d", c.args, code, err, c.code)
		}
	}
	if _, err := supervise(exec.Command("/there/is/no/such/program"), nil); err == nil {
		t.Error("no error for a program that does not start")
	}
}

func TestSignalsArePassedOn(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	begun := time.Now()
	if _, err := supervise(exec.Command("sleep", "60"), signals); err == nil || time.Since(begun) > 30*time.Second {
		t.Errorf("error %v after %v, want that the signal ended it", err, time.Since(begun))
	}
}
