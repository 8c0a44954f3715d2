package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// Get reads key with GET and PTTL in one round trip. No script: on a hit that
// would cost Redis several times a GET. With confirm it looks at the log behind them.
func (s *Store) Get(ctx context.Context, key string, confirm bool) (cache.Record, error) {
	log := s.log(key)
	key = s.redisKey(key)
	type reply struct {
		rec  cache.Record
		look look
	}
	got, err := send(ctx, s.reads, func(ctx context.Context) (got reply, err error) {
		log.await()
		asked := time.Now()
		pipe := s.client.Pipeline()
		get, pttl := pipe.Get(ctx, key), pipe.PTTL(ctx, key)
		if confirm {
			got.look = log.ask(ctx, pipe)
		}
		_, err = pipe.Exec(ctx)
		if got.look.failed() && get.Err() == nil && pttl.Err() == nil {
			err = nil // Redis has answered what counts
		}
		got.rec, err = readReply(key, get, pttl, err)
		got.rec.Asked = asked
		return got, err
	})
	if err == nil {
		got.rec.Complete = log.answers(ctx, got.look)
	}
	return got.rec, err
}

// readReply makes a record of the two replies. If a connection could not be set
// up, neither command has an error, and only the pipeline tells.
func readReply(key string, get *goredis.StringCmd, pttl *goredis.DurationCmd, pipeline error) (cache.Record, error) {
	b, err := get.Bytes()
	if err == nil && pttl.Err() == nil {
		err = pipeline
	}
	switch {
	case errors.Is(err, goredis.Nil):
		return cache.Record{}, nil
	case isWrongType(err):
		return corrupt(cache.Record{}, errType), nil
	case err != nil:
		return cache.Record{}, err
	case pttl.Err() != nil:
		return cache.Record{}, pttl.Err()
	case pttl.Val() == noKey:
		return cache.Record{}, nil // it went between the two
	}
	return decodeRecord(key, b, pttl.Val()), nil
}

func isWrongType(err error) bool {
	var reply goredis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "WRONGTYPE")
}

// The pauses between two looks at a lease: a 32nd of the time waited so far,
// within these bounds, give or take a half. A wait is so prolonged by a few per
// cent, and a long one costs few looks.
const (
	minPause      = time.Millisecond
	maxPause      = 25 * time.Millisecond
	pauseFraction = 32
)

// Wait looks at key from time to time, until it is in another state than leased.
// A look that is under way when ctx ends is brought to its end.
func (s *Store) Wait(ctx context.Context, key string) (cache.Record, error) {
	start := time.Now()
	for {
		pause := min(max(time.Since(start)/pauseFraction, minPause), maxPause)
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return cache.Record{}, ctx.Err()
		}
		rec, err := s.Get(context.WithoutCancel(ctx), key, false)
		if err != nil || rec.State != cache.StateLease {
			return rec, err
		}
	}
}
