package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// As many keys, or tags, as are within these bounds share a round trip, and a budget; one
// of them always does. More take more budgets, if Redis answers.
const (
	batchSize  = 500
	batchBytes = 1 << 20 // of names
)

// Invalidate removes the records of keys, with a script for each key, as a Cluster wants
// it, and as many to a round trip as go to one node. An error reply to one does not keep
// the others from being sent; a Redis that does not answer within the budget is asked no
// more. No script, UNLINK alone, would cost Redis less, and end the bans of others.
func (s *Store) Invalidate(ctx context.Context, keys []string, hold time.Duration) error {
	return s.lift(ctx, "", keys, hold)
}

// Ban replaces the records of keys by tombstones.
func (s *Store) Ban(ctx context.Context, ban cache.Token, keys []string, ttl time.Duration) error {
	return inBatches(keys, func(keys []string) error {
		err := s.replaceBatch(ctx, keys, func(b *batch, key string) { b.eval(buryScript, key, ban[:], millis(ttl)) })
		if mayArrive(err) {
			s.late.note(ban, keys)
		}
		return err
	})
}

// Lift ends a ban, and chases it where it may not have arrived yet.
func (s *Store) Lift(ctx context.Context, ban cache.Token, keys []string, hold time.Duration) error {
	err := s.lift(ctx, string(ban[:]), keys, hold)
	for _, late := range s.late.take(ban) {
		s.chase(late, hold)
	}
	return err
}

// lift changes the records of keys and appends keys to the log.
func (s *Store) lift(ctx context.Context, ban string, keys []string, hold time.Duration) error {
	return inBatches(keys, func(keys []string) error {
		return s.replaceBatch(ctx, keys, func(b *batch, key string) { b.eval(liftScript, key, ban, holdMillis(hold)) })
	})
}

// holdMillis is HoldOff in milliseconds; 0 for none.
func holdMillis(hold time.Duration) int64 {
	if hold <= 0 {
		return 0
	}
	return millis(hold)
}

// inBatches calls do with as many of names at a time as share a round trip, until Redis
// does not answer. It returns the first error.
func inBatches(names []string, do func([]string) error) error {
	var first error
	for batch, rest := cutBatch(names); len(batch) > 0; batch, rest = cutBatch(rest) {
		err := do(batch)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, cache.ErrUnavailable) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// cutBatch returns the names of the next batch, and the others.
func cutBatch(names []string) (batch, rest []string) {
	size := 0
	for i, name := range names {
		size += len(name)
		if i > 0 && (i == batchSize || size > batchBytes) {
			return names[:i:i], names[i:]
		}
	}
	return names, nil
}

// replaceBatch appends after the records have changed, so that nobody who has read the
// entry can read what stood there before. One server carries out a pipeline in its
// order; in a Cluster the log may live on another node than the keys.
func (s *Store) replaceBatch(ctx context.Context, keys []string, change func(*batch, string)) error {
	ctx, cancel := s.oneBudget(ctx)
	defer cancel()
	changes := func(b *batch) {
		for _, key := range keys {
			change(b, s.redisKey(key))
		}
	}
	if !s.single {
		if err := s.send(ctx, changes); err != nil {
			return err
		}
		changes = func(*batch) {}
	}
	_, err := s.appendAfter(ctx, keys, changes)
	return err
}

// oneBudget bounds commands that are sent one after the other.
func (s *Store) oneBudget(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.opts.Timeout, cache.ErrBudget)
}

// batch is a pipeline of commands that write.
type batch struct {
	ctx    context.Context
	pipe   goredis.Pipeliner
	source bool     // scripts go with their source
	known  *scripts // that one server has; nil for a Cluster
	used   []*goredis.Script
}

// scripts are those that went to a server with their source.
type scripts struct{ sync.Map }

// eval adds a script that works on key, and returns its command.
func (b *batch) eval(script *goredis.Script, key string, args ...any) *goredis.Cmd {
	source := b.source
	if !source && b.known != nil {
		_, known := b.known.Load(script)
		source = !known
		b.used = append(b.used, script)
	}
	if source {
		return script.Eval(b.ctx, b.pipe, []string{key}, args...)
	}
	return script.EvalSha(b.ctx, b.pipe, []string{key}, args...)
}

// send sends the commands that fill adds to a batch. One server gets a script's source
// until it has carried that out once. The nodes of a Cluster get its hash. Where a server does not know
// that, all is sent once more, with the source: everything that is sent in batches can be
// repeated.
func (s *Store) send(ctx context.Context, fill func(*batch)) error {
	_, err := send(ctx, s.writes, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.exec(ctx, fill)
	})
	return err
}

func (s *Store) exec(ctx context.Context, fill func(*batch)) error {
	err := s.execOnce(ctx, false, fill)
	if err != nil && goredis.HasErrorPrefix(err, "NOSCRIPT") {
		err = s.execOnce(ctx, true, fill)
	}
	return err
}

// execOnce returns the first error of a pipeline, but a missing script before all others,
// and then an error that is no reply: a command without a reply may be carried out later.
func (s *Store) execOnce(ctx context.Context, source bool, fill func(*batch)) error {
	b := &batch{ctx: ctx, pipe: s.client.Pipeline(), source: source}
	if s.single {
		b.known = &s.scripts
	}
	fill(b)
	if b.pipe.Len() == 0 {
		return nil
	}
	cmds, err := b.pipe.Exec(ctx)
	for _, cmd := range cmds {
		if cmd.Err() != nil && goredis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			return cmd.Err()
		}
	}
	for _, cmd := range cmds {
		if cmd.Err() != nil && !isReply(cmd.Err()) {
			return cmd.Err()
		}
	}
	if err == nil {
		for _, script := range b.used {
			b.known.Store(script, true)
		}
	}
	return err
}
