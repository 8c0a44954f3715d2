package cachetest

import (
	"slices"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// Tombstone puts a tombstone at key, for ttl.
func (s *Server) Tombstone(key string, ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guardLocked(key, nil, ttl)
}

// guardLocked puts a tombstone at key, or adds a guard to the tombstone there.
func (s *Server) guardLocked(key string, token *remote.Token, ttl time.Duration) {
	var guards []remote.Token
	if old := s.aliveLocked(key); old != nil && old.State == remote.StateTombstone {
		guards = slices.Clone(old.guards)
		ttl = max(ttl, time.Until(old.expires))
	}
	if token != nil {
		guards = append(guards, *token)
	}
	s.putLocked(key, record{Record: remote.Record{State: remote.StateTombstone}, guards: guards}, ttl)
}

// unguardLocked takes a guard off key's tombstone. It removes the tombstone with the last guard,
// or leaves one for hold. With the zero token, which no guard has, a tombstone stays.
func (s *Server) unguardLocked(key string, token remote.Token, hold time.Duration) {
	old := s.aliveLocked(key)
	if old != nil && old.State == remote.StateTombstone {
		if (token == remote.Token{}) {
			hold = max(hold, time.Until(old.expires))
		}
		guards := slices.DeleteFunc(slices.Clone(old.guards), func(b remote.Token) bool { return b == token })
		if len(guards) > 0 {
			ttl := max(hold, time.Until(old.expires))
			s.putLocked(key, record{Record: remote.Record{State: remote.StateTombstone}, guards: guards}, ttl)
			return
		}
	}
	s.removeLocked(key)
	if hold > 0 {
		s.guardLocked(key, nil, hold)
	}
}
