package redis

import (
	"context"
	"slices"

	goredis "github.com/redis/go-redis/v9"
)

// deleteBatch is how many keys share a round trip, and a budget.
const deleteBatch = 500

// Delete removes the records of keys with UNLINK, one command for each key, as a
// Cluster wants it, and as many to a round trip as go to one node. All are sent
// even if some fail.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	var first error
	for batch := range slices.Chunk(keys, deleteBatch) {
		if err := s.deleteBatch(ctx, batch); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (s *Store) deleteBatch(ctx context.Context, keys []string) error {
	_, err := send(ctx, s, func(ctx context.Context) (struct{}, error) {
		if len(keys) == 1 {
			return struct{}{}, s.client.Unlink(ctx, s.redisKey(keys[0])).Err()
		}
		_, err := s.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error {
			for _, k := range keys {
				pipe.Unlink(ctx, s.redisKey(k))
			}
			return nil
		})
		return struct{}{}, err
	})
	return err
}
