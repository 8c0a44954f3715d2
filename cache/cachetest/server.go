package cachetest

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// DefaultLeaseTTL is how long a Server's leases stand after their last renewal.
const DefaultLeaseTTL = 3 * time.Second

// Server is the state that the Remotes of several instances share. It is safe for
// concurrent use.
type Server struct {
	// LeaseTTL is how long a lease stands after its last renewal. It is set before use; 0
	// means DefaultLeaseTTL.
	LeaseTTL time.Duration

	// Budget is the budget of the Remotes' commands. It is set before the Remotes are made;
	// 0 means DefaultBudget. Outside a bubble, where real time passes, a busy machine may
	// need a longer budget.
	Budget time.Duration

	mu      sync.Mutex // guards all below
	records map[string]*record
	changed chan struct{} // closed at the next change of a record; nil if nothing waits
	serial  uint64        // of the last record written
	log     []logEntry
	end     remote.Position // of the last entry
	lost    remote.Position // entries up to this position are not in the log any more
	tags    map[string]tagRecord
	remotes []*Remote
}

// record is the record of a key.
type record struct {
	remote.Record
	serial   uint64    // names the record, and is the token of a lease
	expires  time.Time // when the record disappears
	deadline time.Time // of a value: no Touch goes beyond, but for the Window
	guards   []remote.Token

	// Of a value: the token of the lease beside it, and the end of the lease; zero for none.
	renewal uint64
	until   time.Time
}

// NewServer returns an empty server.
func NewServer() *Server {
	return &Server{records: make(map[string]*record), tags: make(map[string]tagRecord)}
}

// Record returns the record of key, as Get would.
func (s *Server) Record(key string) remote.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recordLocked(key)
}

// Len returns the number of records.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for key := range s.records {
		if s.aliveLocked(key) != nil {
			n++
		}
	}
	return n
}

// Corrupt puts bytes that are no record at key, for an hour.
func (s *Server) Corrupt(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	broken := remote.Record{State: remote.StateCorrupt, Reason: errors.New("cachetest: corrupt")}
	s.putLocked(key, record{Record: broken}, time.Hour)
}

// Wipe removes every record and the log, as a restart without persistence does.
func (s *Server) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.records)
	clear(s.tags)
	s.trimLocked()
	s.announceLocked()
}

func (s *Server) leaseTTL() time.Duration {
	if s.LeaseTTL == 0 {
		return DefaultLeaseTTL
	}
	return s.LeaseTTL
}

// aliveLocked returns the record of key, or nil if there is none or it has expired.
func (s *Server) aliveLocked(key string) *record {
	r := s.records[key]
	if r != nil && !time.Now().Before(r.expires) {
		delete(s.records, key)
		return nil
	}
	return r
}

func (s *Server) recordLocked(key string) remote.Record {
	now := time.Now()
	r := s.aliveLocked(key)
	if r == nil {
		return remote.Record{Asked: now}
	}
	rec := r.Record
	rec.Asked = now
	rec.Left = r.expires.Sub(now) - r.Window
	rec.Version = binary.BigEndian.AppendUint64(nil, r.serial)
	return rec
}

func (s *Server) putLocked(key string, r record, ttl time.Duration) uint64 {
	s.serial++
	r.serial = s.serial
	r.expires = time.Now().Add(ttl)
	s.records[key] = &r
	s.announceLocked()
	return r.serial
}

func (s *Server) removeLocked(key string) {
	delete(s.records, key)
	s.announceLocked()
}

func (s *Server) announceLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// changeLocked returns a channel that is closed at the next change.
func (s *Server) changeLocked() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}
