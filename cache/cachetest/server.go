package cachetest

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// DefaultLeaseTTL is how long a Server's leases outlive their holders.
const DefaultLeaseTTL = 3 * time.Second

// Server is the state that the Remotes of several instances share. It is safe
// for concurrent use.
type Server struct {
	// LeaseTTL is how long a lease stands after its last renewal. Set it before
	// use; 0 means DefaultLeaseTTL.
	LeaseTTL time.Duration

	// Budget is that of the Remotes' commands. Set it before they are made; 0 means
	// DefaultBudget. Outside a bubble, where real time passes, a busy machine may
	// want a longer one.
	Budget time.Duration

	mu      sync.Mutex // guards all below
	records map[string]*record
	changed chan struct{} // closed at the next change of a record; nil if nobody waits
	serial  uint64        // of the last record written
	log     []logEntry
	end     cache.Position // of the last entry
	lost    cache.Position // entries up to here are not in the log any more
	tags    map[string]tagRecord
	remotes []*Remote
}

// record is what the server holds for a key.
type record struct {
	cache.Record
	serial   uint64    // names the record, and is the token of a lease
	expires  time.Time // when it goes
	deadline time.Time // of a value: what no touch passes
	bans     []cache.Token
}

// NewServer returns an empty server.
func NewServer() *Server {
	return &Server{records: make(map[string]*record), tags: make(map[string]tagRecord)}
}

// Record returns what the server holds for key, as Get would.
func (s *Server) Record(key string) cache.Record {
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

// Corrupt puts bytes at key that are no record, for an hour.
func (s *Server) Corrupt(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	broken := cache.Record{State: cache.StateCorrupt, Reason: errors.New("cachetest: corrupt")}
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

// aliveLocked returns key's record, or nil if there is none or it has expired.
func (s *Server) aliveLocked(key string) *record {
	r := s.records[key]
	if r != nil && !time.Now().Before(r.expires) {
		delete(s.records, key)
		return nil
	}
	return r
}

func (s *Server) recordLocked(key string) cache.Record {
	now := time.Now()
	r := s.aliveLocked(key)
	if r == nil {
		return cache.Record{Asked: now}
	}
	rec := r.Record
	rec.Asked = now
	rec.Left = r.expires.Sub(now)
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
