package redis

import goredis "github.com/redis/go-redis/v9"

// ClientOf is the client of a Store, for tests that look at what is sent with it.
func ClientOf(s *Store) goredis.UniversalClient { return s.client }

// Queued is how many reads wait to share a round trip.
func Queued(s *Store) int {
	s.joined.mu.Lock()
	defer s.joined.mu.Unlock()
	return len(s.joined.queue)
}
