package history

import "sync"

// Recorder collects the logs of clients that run concurrently. The zero value is ready for
// use. A Recorder is safe for concurrent use; its clients are not.
type Recorder struct {
	mu      sync.Mutex // guards clients
	clients []*Client
}

// Client returns a new log, for one goroutine.
func (r *Recorder) Client() *Client {
	c := new(Client)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = append(r.clients, c)
	return c
}

// History returns the records of all clients. Before the call the recording goroutines have
// ended, or are paused and synchronized with the caller.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	var h History
	for _, c := range r.clients {
		h.Merge(c.history)
	}
	return h
}

// Client is the log of one goroutine. It takes no lock: a lock would order the recorded
// calls among the calls of other goroutines, and so hide their races.
type Client struct{ history History }

// Read records a read.
func (c *Client) Read(r Read) { c.history.Reads = append(c.history.Reads, r) }

// Commit records a commit.
func (c *Client) Commit(r Commit) { c.history.Commits = append(c.history.Commits, r) }

// Invalidated records an invalidation that returned nil.
func (c *Client) Invalidated(r Invalidated) {
	c.history.Invalidated = append(c.history.Invalidated, r)
}

// Fault records a fault.
func (c *Client) Fault(r Fault) { c.history.Faults = append(c.history.Faults, r) }

// Rest records a version that a tier held at rest.
func (c *Client) Rest(r Rest) { c.history.Rests = append(c.history.Rests, r) }
