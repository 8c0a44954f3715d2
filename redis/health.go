package redis

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// The codes of findings. They do not change between releases.
const (
	FindingCommands = "commands" // the user may not call a command, or the server lacks it
	FindingKeys     = "keys"     // the user may not use the keys of the Store
	FindingCluster  = "cluster"  // the server is a node of a Cluster, and the client is not of a Cluster
	FindingSentinel = "sentinel" // the server is a Sentinel
	FindingReplica  = "replica"  // the server is a replica
	FindingProtocol = "protocol" // the server is no Redis, or only one side uses TLS
	FindingVersion  = "version"  // the server is older than 7.0
	FindingMemory   = "memory"   // memory is full, and nothing may be evicted
	FindingEviction = "eviction" // records of nearside may be evicted
	FindingDistance = "distance" // a round trip takes more than half of Options.Timeout
)

// Finding is a state of Redis that an operator should change, or know of.
type Finding struct {
	Code string // one of the constants that begin with Finding
	Text string // a sentence for an operator, without keys and values
}

// Health is the state of a Store and of its Redis at one moment. It has no keys, values or
// passwords, and can be encoded as JSON.
type Health struct {
	Reachable bool          // Redis answered a command; in a Cluster every primary did, of the first 32
	Problem   string        // why Redis is not reachable; "" if it is
	Latency   time.Duration // of that command, from its start to its reply; if that is long, of the fastest of several; the longest of a Cluster
	Server    string        // the name and the version of the server; "" if unknown

	BreakerOpen      bool // the Store sends no command to the server, or to a node of the Cluster
	WriteBreakerOpen bool // the Store sends no command that writes, or none to a node

	LogFollowing bool      // the log is being read, for every cache
	LogAsOf      time.Time // what was appended to the log before is delivered to every cache; zero if unknown

	Findings []Finding // of now, or else of the last time that Redis was reachable; nil if it never was
}

// minInspectTimeout is how long an inspection of Redis may take, unless twice
// Options.Timeout is longer. An inspection has four round trips, with the dial, and more if they
// take long.
const minInspectTimeout = time.Second

// Bounds of the wait between two attempts of the self-test.
const (
	minTestWait = 250 * time.Millisecond
	maxTestWait = 10 * time.Second
)

// Health inspects Redis, and returns when ctx ends, or after a second at the latest; if twice
// Options.Timeout is longer, after that. It uses a connection of its own and not those of the
// Store's client. So it works while a breaker is open, and takes no time of other calls. The
// outcome does not count for the breakers. Concurrent calls inspect Redis one after the
// other.
//
// Findings that need a permission which the user lacks are left out: see the documentation
// of Store.
//
// Health is for a page of states and for alerts. Whether an instance is ready must not
// depend on Health. While Redis is away, an instance serves from the source. If no instance
// were ready then, an outage of Redis would be an outage of the service.
func (s *Store) Health(ctx context.Context) Health {
	found, err := s.inspect(ctx)
	stats := s.Stats()
	h := Health{
		Reachable: err == nil, Latency: found.latency, Server: found.server, Findings: found.findings,
		BreakerOpen: stats.BreakerOpen, WriteBreakerOpen: stats.WriteBreakerOpen,
		LogFollowing: stats.LogFollowing, LogAsOf: s.logAsOf(),
	}
	if err != nil {
		h.Problem = err.Error()
		h.Findings = append(s.findings.last(), found.findings...)
	}
	return h
}

// logAsOf returns the time before which every log that is read was complete.
func (s *Store) logAsOf() (asOf time.Time) {
	first := true
	for _, p := range s.logs {
		if started, at := p.asOf(); started && (first || at.Before(asOf)) {
			first, asOf = false, at
		}
	}
	return asOf
}

// selfTest inspects Redis until it has been reached once, so that the findings are logged.
func (s *Store) selfTest(ctx context.Context) {
	for wait := minTestWait; ; wait = min(2*wait, maxTestWait) {
		if _, err := s.inspect(ctx); err == nil {
			return
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
			return
		}
	}
}

// findings are what is known to be wrong with Redis, and what was logged of it.
type findings struct {
	mu      sync.Mutex // guards all below
	current []Finding  // of the last inspection; nil before the first one
	refused Finding    // of the last command of a cache that was refused
	logged  []string   // codes
}

func (f *findings) keep(current []Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = slices.Clone(current)
}

func (f *findings) last() []Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.current)
}

func (f *findings) noteRefusal(refused Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = refused
}

func (f *findings) refusal() Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

// log reports whether a finding with that code is to be logged, which is once.
func (f *findings) log(code string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(f.logged, code) {
		return false
	}
	f.logged = append(f.logged, code)
	return true
}

// report logs a finding, unless one with its code was logged before. An eviction policy is
// often intended, so its line is at level Info. That the server is a replica is said by the
// lines of the outage.
func (s *Store) report(f Finding) {
	if f.Code == FindingReplica || !s.findings.log(f.Code) {
		return
	}
	level := slog.LevelWarn
	if f.Code == FindingEviction {
		level = slog.LevelInfo
	}
	s.opts.Logger.Log(s.background, level, "redis is not as the Store needs it", "finding", f.Code, "text", f.Text)
}
