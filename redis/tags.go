package redis

import (
	"context"
	"errors"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// tagRecord begins the record of a tag; the position follows.
const tagRecord = "P\x02"

// Announce appends keys to the log.
func (s *Store) Announce(ctx context.Context, keys ...string) error {
	ctx, cancel := s.oneBudget(ctx)
	defer cancel()
	_, err := s.appendAfter(ctx, keys, func(*batch) {})
	return err
}

// InvalidateTags appends tags to the log twice. The first entry is to have a position
// that can be recorded before the second one is announced. With one entry alone there
// is no right order of the two, because an instance that starts in between trusts the
// record, and is told of later entries only:
//
//  1. The entry is appended.
//  2. An instance starts to follow the log, behind the entry. It reads a value, and
//     the record of its tag, which does not tell yet. It keeps the value.
//  3. The record is written.
//
// With two, the second entry reaches it. Nor would it do to name the tags in the second
// alone: who records a tag's position looks for what was invalidated in the log, and has to
// find it there as soon as the record may be evicted.
//
// It does so for as many tags at a time as share a round trip. An error reply to some
// does not keep the others from being sent.
func (s *Store) InvalidateTags(ctx context.Context, tags []string, keep time.Duration) (at cache.Position, err error) {
	err = inBatches(tags, func(tags []string) error {
		last, err := s.invalidateTagsBatch(ctx, tags, keep)
		at = at.Later(last)
		return err
	})
	return at, err
}

func (s *Store) invalidateTagsBatch(ctx context.Context, tags []string, keep time.Duration) (cache.Position, error) {
	ctx, cancel := s.oneBudget(ctx)
	defer cancel()
	at, err := s.appendAfter(ctx, tags, func(*batch) {})
	if err != nil {
		return at, errors.Join(err, s.forget(ctx, tags, err))
	}
	records := func(b *batch) {
		for _, tag := range tags {
			b.eval(tagScript, s.redisKey(tag), formatPosition(at), millis(keep), "earlier")
		}
	}
	if !s.single {
		if err := s.send(ctx, records); err != nil {
			return cache.Position{}, err
		}
		records = func(*batch) {}
	}
	return s.appendAfter(ctx, tags, records)
}

// forget removes the records of tags that could not be appended, because Redis said no: it
// may be out of memory. Then at least those who have to ask take no value of them for
// right.
func (s *Store) forget(ctx context.Context, tags []string, why error) error {
	var reply goredis.Error
	if !errors.As(why, &reply) {
		return nil
	}
	return s.send(ctx, func(b *batch) {
		for _, tag := range tags {
			b.pipe.Unlink(ctx, s.redisKey(tag))
		}
	})
}

// TagPositions reads the records of tags, in one round trip to each node: they are those
// of one value, and few. What is no record counts as none.
func (s *Store) TagPositions(ctx context.Context, tags ...string) ([]*cache.Position, error) {
	return send(ctx, s.reads, func(ctx context.Context) ([]*cache.Position, error) {
		pipe := s.client.Pipeline()
		replies := make([]*goredis.StringCmd, len(tags))
		for i, tag := range tags {
			replies[i] = pipe.Get(ctx, s.redisKey(tag))
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) && !isWrongType(err) {
			return nil, err
		}
		positions := make([]*cache.Position, len(tags))
		for i, reply := range replies {
			text, isRecord := strings.CutPrefix(reply.Val(), tagRecord)
			if at, ok := parsePosition(text); ok && isRecord && reply.Err() == nil {
				positions[i] = &at
			}
		}
		return positions, nil
	})
}

// RecordTags writes the records of the tags that are recorded at was. They are those of one
// value, too.
func (s *Store) RecordTags(ctx context.Context, was, at cache.Position, keep time.Duration, tags ...string) error {
	stands := ""
	if was != (cache.Position{}) {
		stands = formatPosition(was)
	}
	to := formatPosition(at)
	if keep == 0 {
		to = "" // nothing
	}
	ctx, cancel := s.oneBudget(ctx)
	defer cancel()
	return s.send(ctx, func(b *batch) {
		for _, tag := range tags {
			b.eval(tagScript, s.redisKey(tag), to, millis(keep), stands)
		}
	})
}
