package processtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Watch puts a script on the PATH in place of a program of a name. The script notes its process, runs a
// line of shell, and becomes the program. The function that Watch returns has the number of processes
// that were noted. It fails the test if one of them lives on.
func Watch(t *testing.T, name, program, line string) (started func() int) {
	t.Helper()
	dir := t.TempDir()
	notes := filepath.Join(dir, "started")
	script := fmt.Sprintf("#!/bin/sh\necho $$ >>%s\n%s\nexec %s \"$@\"\n", notes, line, program)
	err := errors.Join(
		os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), // for the user of the program
		os.WriteFile(notes, nil, 0o600), os.Chmod(notes, 0o666),
		os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() int {
		t.Helper()
		text, err := os.ReadFile(notes)
		if err != nil {
			t.Fatal(err)
		}
		pids := strings.Fields(string(text))
		for _, pid := range pids {
			if _, err := os.Stat("/proc/" + pid); err == nil {
				t.Errorf("the process %s of %s lives on", pid, name)
			}
		}
		return len(pids)
	}
}
