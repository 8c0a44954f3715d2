package redis

import (
	"context"
	"time"
)

// recentPlaces is how many of the last entries that followers were told of are kept, to
// know them again.
const recentPlaces = 64

// recent are the last places of the log that followers were told of.
type recent struct {
	places [recentPlaces]place
	next   int
}

func (r *recent) add(p place) {
	r.places[r.next] = p
	r.next = (r.next + 1) % recentPlaces
}

func (r *recent) last() place { return r.places[(r.next+recentPlaces-1)%recentPlaces] }

func (r *recent) has(p place) bool {
	for _, known := range r.places {
		if known == p {
			return true
		}
	}
	return false
}

// completeWait is the part of the budget that a read may wait for the log's reader. The
// reader is told of an entry when the Store is: what is missing comes within a
// millisecond, or it lags.
const completeWait = 8

// reaches reports whether the followers have been told of every entry up to one that a
// command of the Store has just seen at the end of the log. It knows the entry by its
// contents: another one may stand at the same position, in the log of a server that has
// lost entries, or that the reader does not read. It waits a little for the reader.
func (p *partition) reaches(ctx context.Context, end place) bool {
	late := time.NewTimer(p.s.opts.Timeout / completeWait)
	defer late.Stop()
	for {
		reached, progress := p.look(end)
		if progress == nil {
			return reached
		}
		select {
		case <-progress:
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// look reports whether end was told, or returns what is closed when there is more to look
// at.
func (p *partition) look(end place) (reached bool, progress <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.following || p.recent.has(end) {
		return p.following, nil
	}
	if !p.toldAll.Before(end.at) {
		return false, nil // the reader is past it, and has not met it of late
	}
	if p.progress == nil {
		p.progress = make(chan struct{})
	}
	return false, p.progress
}

func (p *partition) tellProgressLocked() {
	if p.progress != nil {
		close(p.progress)
		p.progress = nil
	}
}

func (p *partition) isFollowing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.following
}
