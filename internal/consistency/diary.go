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

// diary is what one client of a process did and has not written yet. What a process
// did in its last moments before it is killed is lost: the judge then knows less to
// accuse it of, but for commits, which the source still has.
type diary struct {
	history.History
	to      *file
	written time.Time
}

// saveEvery is how old a record may be that is not in the file.
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
