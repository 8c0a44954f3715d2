package redis

import (
	"context"
	"errors"
	"slices"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// deleteBatch is how many keys share a round trip, and a budget. More keys take
// more budgets, if Redis answers.
const deleteBatch = 500

// Delete removes the records of keys with UNLINK, one command for each key, as a
// Cluster wants it, and as many to a round trip as go to one node. An error reply
// to one does not keep the others from being sent; a Redis that does not answer
// within the budget is asked no more.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	var first error
	for batch := range slices.Chunk(keys, deleteBatch) {
		err := s.deleteBatch(ctx, batch)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, cache.ErrUnavailable) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func (s *Store) deleteBatch(ctx context.Context, keys []string) error {
	_, err := send(ctx, s.writes, func(ctx context.Context) (struct{}, error) {
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
