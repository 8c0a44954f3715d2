package consistency

import (
	"os"
	"sync"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// file is where a process writes its history.
type file struct {
	mu sync.Mutex // guards f
	f  *os.File
}

// journal is what one client of a process did and has not written yet. What a process
// did in its last moments before it is killed is lost: the judge then knows less to
// accuse it of, but for commits, which the source still has.
type journal struct {
	history.History
	to      *file
	written time.Time
}

// flushEvery is how old a record may be that is not in the file.
const flushEvery = 50 * time.Millisecond

func (j *journal) flush(force bool) error {
	if !force && time.Since(j.written) < flushEvery {
		return nil
	}
	j.written = time.Now()
	j.to.mu.Lock()
	defer j.to.mu.Unlock()
	_, err := j.History.WriteTo(j.to.f)
	j.History = history.History{}
	return err
}
