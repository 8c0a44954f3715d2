package redis

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// Get reads key with GET and PTTL in one round trip, which it shares with others that run
// side by side: see joined. No script: on a hit that would cost Redis several times a GET.
// With confirm it looks at the log behind them.
func (s *Store) Get(ctx context.Context, key string, confirm bool) (cache.Record, error) {
	r := recordRead{log: s.log(key), key: s.redisKey(key), confirm: confirm}
	var rec cache.Record
	var err error
	if !s.single {
		rec, err = s.readRecord(ctx, r)
	} else if waits := s.joined.enter(r); waits != nil {
		rec, err = s.join(ctx, waits)
	} else {
		rec, err = s.readRecord(ctx, r)
		s.joined.leave()
	}
	return rec, err
}

// recordRead is a read of one record.
type recordRead struct {
	log     *partition
	key     string
	confirm bool
}

// recordReply is what Redis answered to one.
type recordReply struct {
	get  *goredis.StringCmd
	pttl *goredis.DurationCmd
	rec  cache.Record
	err  error
}

func (s *Store) readRecord(ctx context.Context, r recordRead) (cache.Record, error) {
	replies, err := s.readRecords(ctx, []recordRead{r})
	if err != nil {
		return cache.Record{}, err
	}
	return replies[0].rec, replies[0].err
}

// readRecords makes all reads in one round trip. Its error is that of all of them.
func (s *Store) readRecords(ctx context.Context, reads []recordRead) ([]recordReply, error) {
	type result struct {
		replies []recordReply
		looks   looks
	}
	got, err := send(ctx, s.reads, func(ctx context.Context) (got result, first error) {
		for _, r := range reads {
			r.log.await()
		}
		asked, pipe := time.Now(), s.client.Pipeline()
		got.replies = make([]recordReply, len(reads))
		for i, r := range reads {
			got.replies[i].get, got.replies[i].pttl = pipe.Get(ctx, r.key), pipe.PTTL(ctx, r.key)
		}
		for _, r := range reads {
			if r.confirm {
				got.looks.ask(ctx, pipe, r.log)
			}
		}
		_, err := pipe.Exec(ctx)
		if got.looks.failed() {
			err = nil // it is the looks', or the reads have it too
		}
		for i, r := range reads {
			reply := &got.replies[i]
			reply.rec, reply.err = readReply(r.key, reply.get, reply.pttl, err)
			reply.rec.Asked = asked
			first = cmp.Or(first, reply.err)
		}
		return got, first
	})
	if len(reads) == 1 && err != nil || got.replies == nil {
		return nil, err
	}
	for i, r := range reads {
		reply := &got.replies[i]
		switch {
		case reply.err != nil && isReply(reply.err):
			reply.err = told(reply.err)
		case reply.err != nil:
			reply.err = err // of the connection
		case r.confirm:
			reply.rec.Complete = got.looks.answer(ctx, r.log)
		}
	}
	return got.replies, nil
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
