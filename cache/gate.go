package cache

import "sync"

// gate counts the calls that are under way. A closed gate lets no further call in.
type gate struct {
	mu     sync.RWMutex // guards closed; an enter that finds the gate open counts before wait is called
	closed bool
	inside sync.WaitGroup
}

// enter reports whether the caller may go on. If so, the caller calls leave at its end.
func (g *gate) enter() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

// again lets a call that is under way in once more, also if the gate is closed by now. Its caller
// calls leave, too.
func (g *gate) again() { g.inside.Add(1) }

func (g *gate) leave() { g.inside.Done() }

// close closes the gate, and reports whether it was open.
func (g *gate) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.closed
	g.closed = true
	return !was
}

func (g *gate) isClosed() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.closed
}

// wait returns when all calls have left. Call wait after close.
func (g *gate) wait() { g.inside.Wait() }
