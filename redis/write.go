package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// The bounds of a batch. The keys, or tags, of a batch share a round trip and a budget. A
// batch has at least one name. More names take more budgets, if Redis answers.
const (
	batchSize  = 500
	batchBytes = 1 << 20 // of names
)

// Invalidate removes the records of keys, and appends keys to the log. It sends one script
// for each key, as a Cluster requires, and makes one round trip to each node for a batch of
// keys. After an error reply to one key the others are still sent. When Redis does not
// answer within the budget, Invalidate sends nothing further. UNLINK without a script would
// cost Redis less, but would remove the guards of other Mutates.
func (s *Store) Invalidate(ctx context.Context, keys []string, hold time.Duration) error {
	return s.removeRecords(ctx, "", keys, hold)
}

// Guard puts a guard on each of keys: it replaces the records by tombstones that have the
// token guard and stand for ttl, and appends keys to the log.
func (s *Store) Guard(ctx context.Context, token remote.Token, keys []string, ttl time.Duration) error {
	return inBatches(keys, func(keys []string) error {
		err := s.replaceBatch(ctx, keys, func(b *batch, key string) { b.eval(guardScript, key, token[:], millis(ttl)) })
		if mayArrive(err) {
			s.lateGuards.note(token, keys)
		}
		return err
	})
}

// Unguard removes a guard from keys. If a command of the guard may still arrive, Unguard chases
// the guard in the background.
func (s *Store) Unguard(ctx context.Context, token remote.Token, keys []string, hold time.Duration) error {
	err := s.removeRecords(ctx, string(token[:]), keys, hold)
	for _, late := range s.lateGuards.take(token) {
		s.chase(late, hold)
	}
	return err
}

// removeRecords removes the guard with that token from keys, and every record that is not a
// tombstone. An empty token removes no guard. Then removeRecords appends keys to the log.
func (s *Store) removeRecords(ctx context.Context, token string, keys []string, hold time.Duration) error {
	return inBatches(keys, func(keys []string) error {
		return s.replaceBatch(ctx, keys, func(b *batch, key string) { b.eval(invalidateScript, key, token, holdMillis(hold)) })
	})
}

// holdMillis returns HoldOff in milliseconds; 0 for none.
func holdMillis(hold time.Duration) int64 {
	if hold <= 0 {
		return 0
	}
	return millis(hold)
}

// inBatches calls do with one batch of names after the other, and again for a batch whose
// answer the process did not read in time because it did not run. If Redis does not answer,
// inBatches stops and returns that error. Otherwise it returns the first error. When only some
// names have failed, the error is a [remote.PartialError].
func inBatches(names []string, do func([]string) error) error {
	var failed []string
	var first error
	for batch, rest := cutBatch(names); len(batch) > 0; batch, rest = cutBatch(rest) {
		err := do(batch)
		if errors.Is(err, errStarved) {
			err = do(batch)
		}
		if _, some := errors.AsType[*remote.PartialError](err); !some && isSilence(err) {
			return err
		}
		failed = append(failed, remote.Failed(batch, err)...)
		if first == nil {
			first = err
		}
	}
	if len(failed) == len(names) {
		return first
	}
	return partial(failed, first)
}

// isSilence reports whether err means that Redis did not answer, or was not asked.
func isSilence(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, remote.ErrUnavailable)
}

// cutBatch returns the names of the next batch, and the names behind them.
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

// replaceBatch changes the records of keys, and then appends keys to the log. So an
// instance that has read the entry cannot read an old record. One server carries out a
// pipeline in its order. In a Cluster the log may live on another node than the keys, and
// the entry is sent when the changes have succeeded. Where some nodes fail, the entry has the
// keys of the other nodes, and the error is a [remote.PartialError].
func (s *Store) replaceBatch(ctx context.Context, keys []string, change func(*batch, string)) error {
	ctx, cancel := s.oneBudget(ctx)
	defer cancel()
	if s.single {
		_, err := s.appendAfter(ctx, keys, s.each(keys, change))
		return err
	}
	failed, err := s.send(ctx, keys, change)
	if len(failed) == len(keys) {
		return err
	}
	if _, logErr := s.appendAfter(ctx, remote.Without(keys, failed), func(*batch) {}); logErr != nil {
		return worse(err, logErr)
	}
	return partial(failed, err)
}

// partial returns the error of a call that has failed for some of its names; nil if there are
// none.
func partial(failed []string, err error) error {
	if err == nil {
		return nil
	}
	return &remote.PartialError{Failed: failed, Err: err}
}

// oneBudget returns a context in which commands that are sent one after the other share one
// budget.
func (s *Store) oneBudget(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.opts.Timeout, remote.ErrBudget)
}

// batch is a pipeline of commands that write.
type batch struct {
	ctx    context.Context
	pipe   goredis.Pipeliner
	source bool     // send scripts with their source
	known  *scripts // the scripts of the server; nil for a Cluster
	used   []*goredis.Script
}

// scripts are the scripts whose source a server has received.
type scripts struct{ sync.Map }

// eval adds a script that works on key, and returns the command of the script. One server gets
// the source of a script that it has not carried out yet, once in a batch: it has the script
// when it comes to the next command.
func (b *batch) eval(script *goredis.Script, key string, args ...any) *goredis.Cmd {
	source := b.source
	if !source && b.known != nil && !slices.Contains(b.used, script) {
		_, known := b.known.Load(script)
		source = !known
		b.used = append(b.used, script)
	}
	if source {
		return script.Eval(b.ctx, b.pipe, []string{key}, args...)
	}
	return script.EvalSha(b.ctx, b.pipe, []string{key}, args...)
}

// send sends the commands that add adds for names, in a batch to each node, side by side. It
// returns the names of the batches that have failed. A single server gets a script's source
// until it has carried the script out once. The nodes of a Cluster get the hash of the
// script. When a server does not have a script, the whole batch is sent again, with
// sources: every command of a batch can be repeated.
func (s *Store) send(ctx context.Context, names []string, add func(b *batch, key string)) (failed []string, err error) {
	return s.byCircuit(names, func(c *circuit, names []string) error {
		_, err := send(ctx, c.writes, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, s.exec(ctx, s.each(names, add))
		})
		return err
	})
}

// each returns a function that adds the commands of all names to a batch.
func (s *Store) each(names []string, add func(b *batch, key string)) func(*batch) {
	return func(b *batch) {
		for _, name := range names {
			add(b, s.redisKey(name))
		}
	}
}

func (s *Store) exec(ctx context.Context, fill func(*batch)) error {
	err := s.execOnce(ctx, false, fill)
	if err != nil && goredis.HasErrorPrefix(err, "NOSCRIPT") {
		err = s.execOnce(ctx, true, fill)
	}
	return err
}

// execOnce returns the first error of a pipeline, with two exceptions. The error of a
// missing script comes before all others. Then comes an error that is not a reply: a
// command without a reply may be carried out later.
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
