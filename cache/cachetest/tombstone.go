package cachetest

import (
	"slices"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// Tombstone puts a tombstone at key, for ttl.
func (s *Server) Tombstone(key string, ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buryLocked(key, nil, ttl)
}

// buryLocked puts a tombstone at key, or adds a ban to the one that stands.
func (s *Server) buryLocked(key string, ban *cache.Token, ttl time.Duration) {
	var bans []cache.Token
	if old := s.aliveLocked(key); old != nil && old.State == cache.StateTombstone {
		bans = slices.Clone(old.bans)
		ttl = max(ttl, time.Until(old.expires))
	}
	if ban != nil {
		bans = append(bans, *ban)
	}
	s.putLocked(key, record{Record: cache.Record{State: cache.StateTombstone}, bans: bans}, ttl)
}

// liftLocked takes a ban off key's tombstone, and removes it with the last one. No ban has
// the zero token.
func (s *Server) liftLocked(key string, ban cache.Token, hold time.Duration) {
	old := s.aliveLocked(key)
	if old != nil && old.State == cache.StateTombstone {
		if (ban == cache.Token{}) {
			hold = max(hold, time.Until(old.expires))
		}
		bans := slices.DeleteFunc(slices.Clone(old.bans), func(b cache.Token) bool { return b == ban })
		if len(bans) > 0 {
			ttl := max(hold, time.Until(old.expires))
			s.putLocked(key, record{Record: cache.Record{State: cache.StateTombstone}, bans: bans}, ttl)
			return
		}
	}
	s.removeLocked(key)
	if hold > 0 {
		s.buryLocked(key, nil, hold)
	}
}
