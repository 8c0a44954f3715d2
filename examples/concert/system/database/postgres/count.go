package postgres

import (
	"bytes"
	"strings"
	"sync"

	"github.com/nearside-go/nearside/examples/concert/system/database"
)

// statementLog reads the log of the server, which has a line for each statement, and counts the
// statements of each database. A line begins with logPrefix.
type statementLog struct {
	mu     sync.Mutex // guards all below
	rest   []byte     // of a line that has not ended
	inside map[string]bool
	counts map[string]database.Counts
	marks  map[string]chan struct{} // closed when the mark has been read
}

// logPrefix is the session and the database of a line.
const logPrefix = "%c\t%d\t"

func newStatementLog() *statementLog {
	return &statementLog{
		inside: make(map[string]bool), counts: make(map[string]database.Counts), marks: make(map[string]chan struct{}),
	}
}

// Write counts the statements in a part of the log.
func (l *statementLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, ended := bytes.Cut(l.rest, []byte("\n"))
		if !ended {
			return len(p), nil
		}
		l.lineLocked(string(line))
		l.rest = rest
	}
}

func (l *statementLog) lineLocked(line string) {
	session, line, _ := strings.Cut(line, "\t")
	name, line, _ := strings.Cut(line, "\t")
	line, isLog := strings.CutPrefix(line, "LOG:  ")
	how, statement, ok := strings.Cut(line, ": ")
	if !isLog || !ok || how != "statement" && !strings.HasPrefix(how, "execute ") {
		return // the second line of a statement, or something else
	}
	verb, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(statement)), " ")
	c := l.counts[name]
	switch {
	case verb == "--": // a ping
	case verb == "begin":
		l.inside[session] = true
	case verb == "commit", verb == "rollback":
		delete(l.inside, session)
	case strings.HasPrefix(statement, markPrefix):
		if mark, ok := l.marks[statement]; ok {
			close(mark)
			delete(l.marks, statement)
		}
	case strings.HasPrefix(statement, backgroundMark):
		c.Background++
	case verb == "select" && !l.inside[session]:
		c.Reads++
	default:
		c.Others++
	}
	l.counts[name] = c
}

// markPrefix begins a statement that does nothing. Once its line has been read, so have those
// of all statements that were answered before.
const markPrefix = "/* mark */"

func (l *statementLog) expect(mark string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	read := make(chan struct{})
	l.marks[mark] = read
	return read
}

func (l *statementLog) of(name string) database.Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[name]
}
