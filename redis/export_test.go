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

// HoldEnds makes fills and releases to the server of key wait until release is called.
func HoldEnds(s *Store, key string) (release func()) {
	ends := &s.circuitOf(s.redisKey(key)).ends
	ends.mu.Lock()
	defer ends.mu.Unlock()
	ends.trips += maxTrips
	return func() {
		for range maxTrips {
			ends.leave()
		}
	}
}

// QueuedEnds is how many of them wait.
func QueuedEnds(s *Store, key string) int {
	ends := &s.circuitOf(s.redisKey(key)).ends
	ends.mu.Lock()
	defer ends.mu.Unlock()
	return len(ends.queue)
}

// SelfTested reports whether the self-test of a Store is over.
func SelfTested(s *Store) bool { return s.findings.last() != nil }

// NewWithoutSelfTest is New for tests that count the connections of the client.
func NewWithoutSelfTest(client goredis.UniversalClient, o Options) (*Store, error) {
	s, err := newBorrowing(client, o)
	if err == nil {
		s.findings.keep([]Finding{})
	}
	return s, err
}
