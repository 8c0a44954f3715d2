package chaos

import (
	"bytes"
	"strings"
	"sync"
)

// lines is a Writer that keeps what is written, for concurrent use.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// all returns the lines written so far.
func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.text.String())
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
