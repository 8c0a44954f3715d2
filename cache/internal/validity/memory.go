package validity

import (
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

const (
	// memorySpan is how long an invalidation is remembered, and longer until the next one.
	memorySpan = time.Minute

	// MaxRemembered bounds the invalidations that are remembered. With more in a minute the
	// span is shorter.
	MaxRemembered = 10_000
)

// Memory remembers the recent invalidations, of keys and of tags, with their positions. Each
// instance that was told of an invalidation is a copy of the log, which a failover of the
// server does not lose. The zero value is ready for use. All methods are safe for concurrent
// use.
type Memory struct {
	mu        sync.Mutex                 // guards all below
	last      map[string]remote.Position // of each name, by which the queue is searched
	stamps    map[string]Remembered      // the same, without the names that were replaced
	queue     []remembered               // in the order of Add
	forgotten remote.Position            // an invalidation up to here may be forgotten
}

// Remembered is an invalidation: its position in the log, or a later one, and when this
// instance learned of it. Its entry was appended after AsOf; zero if that is not known.
type Remembered struct {
	At    remote.Position
	Since time.Time
	AsOf  time.Time
}

type remembered struct {
	name  string
	at    remote.Position
	added time.Time
}

// Begin notes that the entries of the log up to at may not have been delivered.
func (m *Memory) Begin(at remote.Position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgotten = m.forgotten.Later(at)
}

// Add remembers the invalidation of name at the position at, or before, which was appended
// after asOf. replaced means that a Set has replaced the record of name: After returns the
// name, and Last does not know of it.
func (m *Memory) Add(name string, at remote.Position, asOf time.Time, replaced bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		m.last, m.stamps = make(map[string]remote.Position), make(map[string]Remembered)
	}
	now := time.Now()
	if !replaced && m.stamps[name].At.Before(at) {
		m.stamps[name] = Remembered{at, now, asOf}
	}
	if known, ok := m.last[name]; ok && !known.Before(at) {
		return // as for an own name, which the log delivers too
	}
	m.last[name] = at
	m.queue = append(m.queue, remembered{name, at, now})
	for len(m.queue) > MaxRemembered || now.Sub(m.queue[0].added) > memorySpan {
		m.forgetLocked()
	}
}

func (m *Memory) forgetLocked() {
	first := m.queue[0]
	m.queue[0] = remembered{}
	m.queue = m.queue[1:]
	m.forgotten = m.forgotten.Later(first.at)
	if m.last[first.name] == first.at {
		delete(m.last, first.name)
		delete(m.stamps, first.name)
	}
}

// Last returns the last invalidation of name that is remembered; zero if there is none.
func (m *Memory) Last(name string) Remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stamps[name]
}

// After returns the names that were invalidated after a position. complete reports that no
// other name was.
func (m *Memory) After(at remote.Position) (names []string, complete bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, last := range m.last {
		if at.Before(last) {
			names = append(names, name)
		}
	}
	return names, !at.Before(m.forgotten)
}
