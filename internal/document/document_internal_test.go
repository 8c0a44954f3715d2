package document

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// place is where the table of a command goes.
func place(command string) (begins, ends string) { return fmt.Sprintf(tableBegins, command), tableEnds }

// TestWriteReplacesTheTable: what stands around the table stays, another table included.
func TestWriteReplacesTheTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	begins, ends := place("chaos")
	otherBegins, _ := place("outage")
	before, after := "before\n"+otherBegins+"other\n"+ends+"between\n"+begins, ends+"after\n"
	if err := os.WriteFile(path, []byte(before+after), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"one\n", "two\n"} {
		if err := Write(path, "chaos", table); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, "two\n"+after) || strings.Contains(got, "one\n") {
		t.Errorf("the document is\n%s", got)
	}
}

// TestWriteNeedsAPlace: a document without the two lines is an error.
func TestWriteNeedsAPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	begins, ends := place("chaos")
	for _, text := range []string{ends + begins, strings.Replace(begins, "chaos", "outage", 1) + ends} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if Write(path, "chaos", "one\n") == nil {
			t.Errorf("no error, although the document has no place for the table:\n%s", text)
		}
	}
}
