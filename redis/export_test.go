package redis

import goredis "github.com/redis/go-redis/v9"

// ClientOf is the client of a Store, for tests that look at what is sent with it.
func ClientOf(s *Store) goredis.UniversalClient { return s.client }
