package redis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// tagRecord begins the record of a tag. The position follows.
const tagRecord = "P\x02"

// Announce appends keys to the log, as replaced.
func (s *Store) Announce(ctx context.Context, keys ...string) error {
	ctx, cancel := s.oneBudget(ctx)
	defer cancel()
	_, err := s.appendEntry(ctx, newEntry(s.origin, true, keys), func(*batch) {})
	return err
}

// InvalidateTags appends tags to the log twice. Between the two entries it records, for
// each tag, the position of the first entry. With one entry alone, an instance that starts
// between the entry and the record would trust the record, and receive later entries only:
//
//  1. The entry is appended.
//  2. An instance starts to follow the log, behind the entry. It reads a value, and the
//     record of the value's tag, which does not have the new position yet. It keeps the
//     value.
//  3. The record is written.
//
// With two entries, the second entry reaches that instance. The first entry must name the
// tags, too. An instance that records the position of a tag looks in the log for
// invalidations of the tag, and must find the first entry from the moment at which Redis
// may evict the record.
//
// InvalidateTags works on one batch of tags after the other. After an error reply to some
// tags, the others are still sent.
func (s *Store) InvalidateTags(ctx context.Context, tags []string, keep time.Duration) (at remote.Position, err error) {
	err = inBatches(tags, func(tags []string) error {
		last, err := s.invalidateTagsBatch(ctx, tags, keep)
		at = at.Later(last)
		return err
	})
	return at, err
}

func (s *Store) invalidateTagsBatch(ctx context.Context, tags []string, keep time.Duration) (remote.Position, error) {
	ctx, cancel := s.oneBudget(ctx)
	defer cancel()
	at, err := s.appendAfter(ctx, tags, func(*batch) {})
	if err != nil {
		return at, errors.Join(err, s.forget(ctx, tags, err))
	}
	record := func(b *batch, key string) { b.eval(tagScript, key, formatPosition(at), millis(keep), "earlier") }
	if s.single {
		return s.appendAfter(ctx, tags, s.each(tags, record))
	}
	failed, err := s.send(ctx, tags, record)
	if len(failed) == len(tags) {
		return remote.Position{}, err
	}
	at, again := s.appendAfter(ctx, remote.Without(tags, failed), func(*batch) {})
	if again != nil {
		return at, again
	}
	return at, partial(failed, err)
}

// forget removes the records of tags after Redis refused an entry with the tags: Redis may
// be out of memory. Without a record, an instance that must ask for the position of a tag
// accepts no value with the tag.
func (s *Store) forget(ctx context.Context, tags []string, why error) error {
	var reply goredis.Error
	if !errors.As(why, &reply) {
		return nil
	}
	_, err := s.send(ctx, tags, func(b *batch, key string) { b.pipe.Unlink(ctx, key) })
	return err
}

// TagPositions reads the records of tags in one round trip to each node. Bytes that are not
// a record count as no record.
func (s *Store) TagPositions(ctx context.Context, tags ...string) ([]*remote.Position, error) {
	var mu sync.Mutex // guards found
	found := make(map[string]*remote.Position, len(tags))
	_, err := s.byCircuit(tags, func(c *circuit, tags []string) error {
		positions, err := inTurn(ctx, c.reads, func(ctx context.Context) ([]*remote.Position, error) {
			return s.tagPositions(ctx, tags)
		})
		mu.Lock()
		defer mu.Unlock()
		for i, at := range positions {
			found[tags[i]] = at
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	positions := make([]*remote.Position, len(tags))
	for i, tag := range tags {
		positions[i] = found[tag]
	}
	return positions, nil
}

func (s *Store) tagPositions(ctx context.Context, tags []string) ([]*remote.Position, error) {
	pipe := s.client.Pipeline()
	replies := make([]*goredis.StringCmd, len(tags))
	for i, tag := range tags {
		replies[i] = pipe.Get(ctx, s.redisKey(tag))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) && !isWrongType(err) {
		return nil, err
	}
	positions := make([]*remote.Position, len(tags))
	for i, reply := range replies {
		text, isRecord := strings.CutPrefix(reply.Val(), tagRecord)
		if at, ok := parsePosition(text); ok && isRecord && reply.Err() == nil {
			positions[i] = &at
		}
	}
	return positions, nil
}

// RecordTags records the position at for each tag that is recorded at was, or, with a zero
// was, for each tag without a record. With a zero keep it removes these records. The tags
// are those of one value.
func (s *Store) RecordTags(ctx context.Context, was, at remote.Position, keep time.Duration, tags ...string) error {
	stands := ""
	if was != (remote.Position{}) {
		stands = formatPosition(was)
	}
	to := formatPosition(at)
	if keep == 0 {
		to = "" // no record
	}
	ctx, cancel := s.oneBudget(ctx)
	defer cancel()
	_, err := s.send(ctx, tags, func(b *batch, key string) { b.eval(tagScript, key, to, millis(keep), stands) })
	return err
}
