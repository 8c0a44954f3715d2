package redistest

import (
	"bytes"
	"strings"
	"sync"
)

// Lines is a Writer that keeps the text that it receives, for concurrent use.
type Lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write keeps b.
func (l *Lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// All returns the lines written so far.
func (l *Lines) All() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.text.String())
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
