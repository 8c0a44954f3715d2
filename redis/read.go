package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// Get reads key with GET and PTTL in one round trip, which it shares with others that run
// side by side: see joined. No script: on a hit that would cost Redis several times a GET.
// With confirm it looks at the log behind them.
func (s *Store) Get(ctx context.Context, key string, confirm bool) (cache.Record, error) {
	reply, _, err := s.read(ctx, recordRead{log: s.log(key), key: s.redisKey(key), confirm: confirm})
	return reply.rec, err
}

// GetOrLease is Get that takes the lease with SET NX, and Redis' time with TIME, in the same
// round trip. The script of Lease costs Redis more than all of these. Where a read shares
// its round trip, or goes to a Cluster, whose nodes have clocks of their own, it takes none.
func (s *Store) GetOrLease(ctx context.Context, key string, hold time.Duration, confirm bool) (cache.Lease, cache.Record, error) {
	r := recordRead{log: s.log(key), key: s.redisKey(key), confirm: confirm}
	if s.single && !s.writes.open.Load() {
		r.lease = newLease()
	}
	reply, asked, err := s.read(ctx, r)
	if err != nil {
		if asked && !errors.Is(err, cache.ErrUnavailable) {
			s.clear(r.key, r.lease) // Redis may have answered GET with an error, and granted it
		}
		return nil, cache.Record{}, err
	}
	if !asked {
		return nil, reply.rec, nil
	}
	// A client that lost the reply may have sent all of it again.
	granted := reply.set.Val() || reply.rec.State == cache.StateLease && reply.get.Val() == string(r.lease)
	at, err := reply.time.Result()
	switch {
	case granted && err == nil: // what was read, if anything, has expired
		return s.hold(r.key, r.lease, hold, at.UnixMilli()), cache.Record{Asked: reply.rec.Asked, Complete: reply.rec.Complete}, nil
	case granted: // Redis does not tell the time
		s.clear(r.key, r.lease)
	case reply.set.Err() != nil:
		s.clearAsked(r.key, r.lease, reply.set.Err())
	case reply.rec.State == cache.StateAbsent:
		reply.rec.State = cache.StateLease // taken by another between the two commands
	}
	return nil, reply.rec, nil
}

// read sends a read at once, and alone, or with others. It reports whether a lease was
// asked for.
func (s *Store) read(ctx context.Context, r recordRead) (reply recordReply, asked bool, err error) {
	if s.single {
		if waits := s.joined.enter(r); waits != nil {
			reply.rec, err = s.join(ctx, waits)
			return reply, false, err
		}
	}
	replies, err := s.readRecords(ctx, []recordRead{r})
	if err != nil {
		return reply, r.lease != nil, err
	}
	return replies[0], r.lease != nil, replies[0].err
}

// recordRead is a read of one record.
type recordRead struct {
	log     *partition
	key     string
	confirm bool
	lease   []byte // to be taken if there is no record; nil for none
}

// recordReply is what Redis answered to one.
type recordReply struct {
	get  *goredis.StringCmd
	pttl *goredis.DurationCmd
	time *goredis.TimeCmd // nil, as set, if no lease was asked for
	set  *goredis.BoolCmd
	rec  cache.Record
	err  error
}

// readRecords makes all reads in one round trip, and then has the log's reader catch up
// with those that confirm, within the budget. Its error is that of all of them.
func (s *Store) readRecords(ctx context.Context, reads []recordRead) ([]recordReply, error) {
	start := time.Now()
	got, err := send(ctx, s.reads, func(ctx context.Context) (trip, error) { return s.readTrip(ctx, reads) })
	if s.single {
		s.joined.leave(got.largest(err))
	}
	if len(reads) == 1 && err != nil || got.replies == nil {
		return nil, err
	}
	left := s.opts.Timeout - time.Since(start)
	for i := range got.looks {
		got.looks[i].complete = got.looks[i].log.answers(ctx, got.looks[i], left)
	}
	for i, r := range reads {
		reply := &got.replies[i]
		switch {
		case reply.err != nil && isReply(reply.err):
			reply.err = told(reply.err)
		case reply.err != nil:
			reply.err = err // of the connection
		case r.confirm:
			reply.rec.Complete = got.looks.complete(r.log)
		}
	}
	return got.replies, nil
}

// trip is what one round trip brings.
type trip struct {
	replies []recordReply
	looks   looks
}

// largest returns the size of the largest record that a round trip with this error brought;
// at least 1, but for one without replies, whose is 0.
func (got trip) largest(err error) int {
	if err != nil && !isReply(err) {
		return 0
	}
	n := 1
	for _, reply := range got.replies {
		n = max(n, len(reply.get.Val()))
	}
	return n
}

// readTrip returns the first error of a read, but one that is no reply before all others.
func (s *Store) readTrip(ctx context.Context, reads []recordRead) (got trip, first error) {
	for _, r := range reads {
		r.log.await()
	}
	asked, pipe := time.Now(), s.client.Pipeline()
	got.replies = make([]recordReply, len(reads))
	for i, r := range reads {
		reply := &got.replies[i]
		reply.get, reply.pttl = pipe.Get(ctx, r.key), pipe.PTTL(ctx, r.key)
		if r.lease != nil {
			reply.time, reply.set = pipe.Time(ctx), pipe.SetNX(ctx, r.key, r.lease, s.opts.LeaseTTL)
		}
	}
	for _, r := range reads {
		if r.confirm {
			got.looks.ask(ctx, pipe, r.log)
		}
	}
	cmds, err := pipe.Exec(ctx)
	if slices.ContainsFunc(cmds, func(c goredis.Cmder) bool { return c.Err() != nil }) {
		err = nil // it is a command's, and known from there
	}
	for i, r := range reads {
		reply := &got.replies[i]
		reply.rec, reply.err = readReply(r.key, reply.get, reply.pttl, err)
		reply.rec.Asked = asked
		if reply.err != nil && (first == nil || isReply(first) && !isReply(reply.err)) {
			first = reply.err
		}
	}
	return got, first
}

// readReply makes a record of the two replies. If a connection could not be set
// up, neither command has an error, and only the pipeline tells.
func readReply(key string, get *goredis.StringCmd, pttl *goredis.DurationCmd, pipeline error) (cache.Record, error) {
	b, err := get.Bytes()
	if err == nil && pttl.Err() == nil {
		err = pipeline
	}
	switch {
	case err == nil && pttl.Err() != nil:
		return cache.Record{}, pttl.Err()
	case err == nil && pttl.Val() == noKey:
		return cache.Record{}, nil // it went between the two
	case err == nil:
		return decodeRecord(key, b, pttl.Val()), nil
	case errors.Is(err, goredis.Nil):
		return cache.Record{}, nil
	case isWrongType(err):
		return corrupt(cache.Record{}, errType), nil
	}
	return cache.Record{}, err
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
