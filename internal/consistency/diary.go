package consistency

import (
	"os"
	"sync"
	"time"

	"github.com/nearside-go/nearside/internal/history"
)

// file is the file to which a process writes its history.
type file struct {
	mu sync.Mutex // guards f
	f  *os.File
}

// diary has the records of one client of a process that are not written yet. The records of
// the last moments before a process is killed are lost: so the judge has less evidence
// against the process, except for commits, which the source still has.
type diary struct {
	history.History
	to      *file
	written time.Time
}

// saveEvery is the greatest age of a record that is not in the file yet.
const saveEvery = 50 * time.Millisecond

func (d *diary) save(force bool) error {
	if !force && time.Since(d.written) < saveEvery {
		return nil
	}
	d.written = time.Now()
	d.to.mu.Lock()
	defer d.to.mu.Unlock()
	_, err := d.History.WriteTo(d.to.f)
	d.History = history.History{}
	return err
}
