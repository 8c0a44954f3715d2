package nearside_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeShowsCodeThatRuns: the README's Go is part of an Example.
func TestReadmeShowsCodeThatRuns(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("redis/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) == 0 {
		t.Fatal("the README shows no Go")
	}
	for _, b := range blocks {
		if !strings.Contains(string(example), b[1]) {
			t.Errorf("this is not in redis/example_test.go:\n%s", b[1])
		}
	}
	if lines := strings.Count(string(readme), "\n"); lines >= 200 {
		t.Errorf("the README has %d lines", lines)
	}
}

// TestReadmeLinks: what the documents point to is there.
func TestReadmeLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, doc := range []string{"README.md", "CONTRIBUTING.md", "docs/design.md", "docs/consistency.md", "docs/wire.md"} {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Error(err)
			continue
		}
		dir := ""
		if i := strings.LastIndex(doc, "/"); i >= 0 {
			dir = doc[:i+1]
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(dir + m[1]); err != nil {
				t.Errorf("%s points to %s: %v", doc, m[1], err)
			}
		}
	}
}
