package history

import "sync"

// Recorder collects the logs of clients that run side by side. Its zero value is
// ready for use. It is safe for concurrent use, its clients are not.
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

// History returns what all clients have recorded. The goroutines that record must
// have ended, or paused in a way that the caller has synchronized with.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	var h History
	for _, c := range r.clients {
		h.Merge(c.history)
	}
	return h
}

// Client is the log of one goroutine. It takes no lock, so that recording a call
// does not order it among the calls of others, and hide their races.
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

// Rest records what a tier held at rest.
func (c *Client) Rest(r Rest) { c.history.Rests = append(c.history.Rests, r) }
