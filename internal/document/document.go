// Package document writes the tables that were measured into the documents.
package document

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// The lines of the document around the table of a command.
const (
	tableBegins = "<!-- The table that make %s writes begins here. -->\n"
	tableEnds   = "<!-- The table ends here. -->\n"
)

// Write replaces the table of a command in a document, and the sentence above the table that
// says where and when it was measured.
func Write(path, command, table string) error {
	tableBegins := fmt.Sprintf(tableBegins, command)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(text), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the table", path)
	}
	return os.WriteFile(path, []byte(before+tableBegins+where()+"\n"+table+tableEnds+after), 0o644)
}

// where describes the versions, the machine, and the day.
func where() string {
	version := "an unknown version"
	if out, err := exec.Command("redis-server", "--version").Output(); err == nil {
		if _, v, ok := strings.Cut(string(out), "v="); ok {
			version, _, _ = strings.Cut(v, " ")
		}
	}
	return fmt.Sprintf("Measured on %s with %s, Redis %s, %s/%s, %d processors.\n",
		time.Now().Format(time.DateOnly), runtime.Version(), version, runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}
