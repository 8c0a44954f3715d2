package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// Get reads key with GET and PTTL in one round trip. Reads that are under way at the same
// time may share the round trip: see joined. Get uses no script, because on a hit a script
// would cost Redis several times a GET. With confirm, Get also looks at the log, behind GET
// and PTTL in the same pipeline.
func (s *Store) Get(ctx context.Context, key string, confirm bool) (remote.Record, error) {
	reply, _, err := s.read(ctx, recordRead{log: s.log(key), key: s.redisKey(key), confirm: confirm})
	return reply.rec, err
}

// GetOrLease reads key like Get. In the same round trip it takes the lease with SET NX, and
// reads Redis' time with TIME. The script of Lease costs Redis more than these commands
// together. GetOrLease does not ask for the lease while the breaker of the writes is open, or in
// a Cluster, whose nodes have clocks of their own.
func (s *Store) GetOrLease(ctx context.Context, key string, hold time.Duration, confirm bool) (remote.Lease, remote.Record, error) {
	r := recordRead{log: s.log(key), key: s.redisKey(key), confirm: confirm}
	if s.single && !s.whole.writes.open.Load() {
		r.lease = newLease()
	}
	reply, asked, err := s.read(ctx, r)
	if err != nil {
		if asked {
			s.clearUnread(r, err)
		}
		return nil, remote.Record{}, err
	}
	if !asked {
		return nil, reply.rec, nil
	}
	granted := reply.granted(r)
	at, err := reply.time.Result()
	switch {
	case granted && err == nil: // the record that GET found, if any, has expired
		return s.hold(r.key, r.lease, hold, s.opts.LeaseTTL/3, at.UnixMilli()), remote.Record{Asked: reply.rec.Asked, Complete: reply.rec.Complete}, nil
	case granted: // Redis did not return the time
		s.clear(r.key, r.lease)
	case reply.set.Err() != nil:
		s.clearAsked(r.key, r.lease, reply.set.Err())
	case reply.rec.State == remote.StateAbsent:
		reply.rec.State = remote.StateLease // another load took the lease between GET and SET
	}
	return nil, reply.rec, nil
}

// granted reports whether a read that asked for a lease got it. A client that lost the reply may
// have sent the whole pipeline again.
func (reply recordReply) granted(r recordRead) bool {
	return reply.set.Val() || reply.rec.State == remote.StateLease && reply.get.Val() == string(r.lease)
}

// clearUnread clears the lease that a read without replies asked for, unless err shows that it
// was not sent. The lease may be granted although GET failed.
func (s *Store) clearUnread(r recordRead, err error) {
	if !errors.Is(err, remote.ErrUnavailable) && !errors.Is(err, errNoPlace) {
		s.clear(r.key, r.lease)
	}
}

// giveBack gives up the leases that reads asked for whose readers have left: in one round trip
// those that were granted.
func (s *Store) giveBack(ctx context.Context, reads []*joinedRead) {
	if len(reads) == 0 {
		return
	}
	var keys []string
	var granted []*joinedRead
	for _, r := range reads {
		switch {
		case r.err != nil:
			s.clearUnread(r.recordRead, r.err)
		case r.reply.granted(r.recordRead):
			keys, granted = append(keys, r.key), append(granted, r)
		default:
			s.clearAsked(r.key, r.lease, r.reply.set.Err())
		}
	}
	for i, e := range s.evalMany(ctx, keys, func(int) int { return 0 }, func(b *batch, i int) *goredis.Cmd {
		return b.eval(releaseScript, keys[i], granted[i].lease)
	}) {
		if e.err != nil {
			s.clear(keys[i], granted[i].lease)
		}
	}
}

// read sends r at once and alone, or, while maxTrips round trips are under way, queues r to
// share a round trip with other reads. asked reports whether the command that was sent asked
// for r.lease.
func (s *Store) read(ctx context.Context, r recordRead) (reply recordReply, asked bool, err error) {
	if !s.circuitOf(r.key).reads.allows() { // the first of all, because an outage makes every call a miss
		return reply, false, remote.ErrUnavailable
	}
	if s.single {
		if waits := s.joined.enter(r); waits != nil {
			return s.join(ctx, waits)
		}
	}
	replies, err := s.readRecords(ctx, []recordRead{r}, s.joined.leave)
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

// recordReply is the answer of Redis to a recordRead.
type recordReply struct {
	get  *goredis.StringCmd
	pttl *goredis.DurationCmd
	time *goredis.TimeCmd // nil, like set, if no lease was asked for
	set  *goredis.BoolCmd
	rec  remote.Record
	err  error
}

// readRecords makes all reads in one round trip. Then, for the reads that confirm, it waits
// within the budget for the log's reader to catch up. Its error applies to all reads. On one
// server it calls back when the round trip is over, with the size of the largest record.
func (s *Store) readRecords(ctx context.Context, reads []recordRead, back func(int, error)) ([]recordReply, error) {
	start := time.Now()
	c := s.circuitOf(reads[0].key) // of all reads: in a Cluster there is only one
	looked := s.lookApart(ctx, reads[0], c)
	got, err := inTurn(ctx, c.reads, func(ctx context.Context) (trip, error) {
		return s.readTrip(ctx, reads, looked == nil)
	})
	if s.single {
		back(got.largest(err), err)
	}
	if len(reads) == 1 && err != nil || got.replies == nil {
		return nil, err
	}
	if looked != nil {
		got.looks = <-looked
	}
	left := s.opts.Timeout - time.Since(start)
	for i := range got.looks {
		got.looks[i].complete = got.looks[i].log.answers(ctx, got.looks[i], left)
	}
	for i, r := range reads {
		reply := &got.replies[i]
		switch {
		case reply.err != nil && isReply(reply.err):
			reply.err = unquote(reply.err)
		case reply.err != nil:
			reply.err = err // the error of the connection
		case r.confirm:
			reply.rec.Complete = got.looks.complete(r.log)
			if looked != nil { // before the record was asked for
				reply.rec.Asked = start
			}
		}
	}
	return got.replies, nil
}

// trip is the result of one round trip.
type trip struct {
	replies []recordReply
	looks   looks
}

// largest returns the size of the largest record of a round trip that ended with err, and
// at least 1. Without replies it returns 0.
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

// readTrip makes all reads in one pipeline, with the looks at their logs if look is true. It
// returns the first error that is not a reply; if every error is a reply, the first error.
func (s *Store) readTrip(ctx context.Context, reads []recordRead, look bool) (got trip, first error) {
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
		if look && r.confirm {
			got.looks.ask(ctx, pipe, r.log)
		}
	}
	cmds, err := pipe.Exec(ctx)
	if slices.ContainsFunc(cmds, func(c goredis.Cmder) bool { return c.Err() != nil }) {
		err = nil // err is the error of a command, and readReply finds it there
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

// readReply makes a record of the replies to GET and PTTL. If a connection could not be set
// up, neither command has an error, and pipeline is the only sign of the failure.
func readReply(key string, get *goredis.StringCmd, pttl *goredis.DurationCmd, pipeline error) (remote.Record, error) {
	b, err := get.Bytes()
	if err == nil && pttl.Err() == nil {
		err = pipeline
	}
	switch {
	case err == nil && pttl.Err() != nil:
		return remote.Record{}, pttl.Err()
	case err == nil && pttl.Val() == noKey:
		return remote.Record{}, nil // the record went away between GET and PTTL
	case err == nil:
		return decodeRecord(key, b, pttl.Val()), nil
	case errors.Is(err, goredis.Nil):
		return remote.Record{}, nil
	case isWrongType(err):
		return corrupt(remote.Record{}, errType), nil
	}
	return remote.Record{}, err
}

func isWrongType(err error) bool {
	var reply goredis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "WRONGTYPE")
}

// Bounds of the pauses between two reads of a Wait. A pause is a 32nd of the time waited so
// far, within these bounds, plus or minus a half. So the pauses prolong a wait by a few per
// cent, and a long wait costs few reads. Where a Store has many waits at once, as when two
// instances want the same thousand keys, all pauses are longer, so that the waits together
// cost no more than those of a few.
const (
	minPause      = time.Millisecond
	maxPause      = 25 * time.Millisecond
	pauseFraction = 32

	fewWaits  = 32
	maxPauses = 200 * time.Millisecond
)

// Wait reads key from time to time, until key is in another state than leased, or the holder
// of the lease does not renew it. While this Store may not write, Wait returns at once: nobody
// knows whether the holder may. When ctx ends during a read, Wait first completes that read.
func (s *Store) Wait(ctx context.Context, key string) (remote.Record, error) {
	start := time.Now()
	defer s.waits.Add(-1)
	s.waits.Add(1)
	var lease watch
	for {
		if !s.circuitOf(s.redisKey(key)).writes.allows() {
			return remote.Record{}, remote.ErrUnavailable
		}
		pause := min(max(time.Since(start)/pauseFraction, minPause), maxPause)
		pause = min(pause*time.Duration(1+s.waits.Load()/fewWaits), maxPauses)
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return remote.Record{}, ctx.Err()
		}
		rec, err := s.Get(context.WithoutCancel(ctx), key, false)
		if err != nil || rec.State != remote.StateLease || lease.overdue(rec, s.opts.LeaseTTL) {
			return rec, err
		}
	}
}

// watch follows a lease from one read to the next.
type watch struct {
	end   time.Time // of the lease, as of its last renewal
	since time.Time // no renewal was seen since
}

// overdue reports whether the holder of the lease in rec has left out two renewals. With a
// LeaseTTL of its own the holder may renew a lease that never has much time left, so the reads
// must also have seen no renewal for as long as one takes at ttl.
func (w *watch) overdue(rec remote.Record, ttl time.Duration) bool {
	const slack = 10 // a renewal prolongs a lease by more than ttl/slack, and clocks do not
	if end := rec.Asked.Add(rec.Left); end.After(w.end.Add(ttl / slack)) {
		w.end, w.since = end, rec.Asked
	}
	return rec.Left < ttl/3 && rec.Asked.Sub(w.since) >= ttl/3
}
