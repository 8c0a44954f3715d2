package cache

import "sync"

// gate counts the calls that are under way, and once closed lets no more in.
type gate struct {
	mu     sync.RWMutex // guards closed; an enter that sees it open has counted before wait is called
	closed bool
	inside sync.WaitGroup
}

// enter reports whether the caller may go on; if so it calls leave at its end.
func (g *gate) enter() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

func (g *gate) leave() { g.inside.Done() }

// close lets no more in.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *gate) isClosed() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.closed
}

// wait returns when everybody has left. It is called after close.
func (g *gate) wait() { g.inside.Wait() }
