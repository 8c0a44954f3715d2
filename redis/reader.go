package redis

import (
	"context"
	"math/rand/v2"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
)

// The waits between two connections, which double while nothing can be read.
const (
	minReconnect = 20 * time.Millisecond
	maxReconnect = 200 * time.Millisecond
)

// sentinelReconnect is the longest wait where each dial asks Sentinels first, of which
// go-redis writes several lines to standard error when none answers.
const sentinelReconnect = time.Second

// longestWait is the longest wait between two connections.
func (s *Store) longestWait() time.Duration {
	if c, ok := s.client.(*goredis.Client); ok && c.Options().Addr == "FailoverClient" {
		return sentinelReconnect
	}
	return maxReconnect
}

// read reads the log on one connection after the other, until ctx ends. When a connection
// ends that has lasted, the next one is dialed at once: if nobody listens any more, the
// breaker opens before the commands that failed with the connection are tried again.
func (p *partition) read(ctx context.Context) {
	p.count = readCount
	wait := minReconnect
	for {
		began := time.Now()
		worked, err := p.session(ctx)
		p.s.denied(told(err))
		p.lose(ctx, told(err))
		if p.redirected(err) {
			continue
		}
		if worked {
			wait = minReconnect
		}
		p.count = max(p.count/2, 1) // the link may be too slow for as many in time
		if worked && time.Since(began) > maxReconnect && ctx.Err() == nil {
			continue
		}
		p.line.Store(nil) // nobody is to wait for the next dial
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-p.woken:
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, p.s.longestWait())
	}
}

// wake ends the pause of a reader: Redis serves commands again.
func (p *partition) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// redirected notes where the log has moved to, if that is why a session ended, and
// reports whether to go there at once: not from one node to the other for ever.
func (p *partition) redirected(err error) bool {
	was := p.movedTo
	p.movedTo, _ = goredis.IsMovedError(err)
	return p.movedTo != "" && was == ""
}

// session reads the log on a connection of its own, until that fails. It reports
// whether it has worked before.
func (p *partition) session(ctx context.Context) (worked bool, err error) {
	client, err := p.connect(ctx)
	if err != nil {
		p.line.Store(nil)
		return false, err
	}
	defer client.Close()
	// A read that blocks does not heed its context, but the end of its connection.
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	r := &session{partition: p, client: client}
	if err := r.resume(ctx); err != nil {
		return false, err
	}
	r.learnNodes(ctx)
	for ; ; worked = true {
		if err := r.next(ctx); err != nil {
			return worked, err
		}
	}
}

// connect returns a client of one connection to the server that has the log: the
// Store's own may wait longer than LogTimeout, and has better use for its connections.
func (p *partition) connect(ctx context.Context) (*lone, error) {
	ctx, cancel := context.WithTimeout(ctx, p.s.opts.LogTimeout)
	defer cancel()
	var o goredis.Options
	switch c := p.s.client.(type) {
	case *goredis.Client:
		o = *c.Options()
	case *goredis.ClusterClient:
		node, err := p.logNode(ctx, c)
		if err != nil {
			return nil, err
		}
		o = *node
	}
	o.ReadTimeout, o.WriteTimeout = p.s.opts.LogTimeout, p.s.opts.LogTimeout
	conn, err := dial(ctx, &o)
	if err != nil {
		if p.s.single && refused(err) {
			p.s.reads.gone(err)
		}
		return nil, err
	}
	p.line.Store(newLine(conn))
	return only(&o, conn), nil
}

// session is the reading of a log on one connection. It alone moves told.
type session struct {
	*partition
	client *lone
	looked time.Time // when the Store's client was last asked for the end of the log
	ahead  place     // what it saw, until that has been told
}

// place is an entry, and where it is. Two entries at one position, of which one was
// lost, are told apart by what they are.
type place struct {
	at    cache.Position
	entry any
}

// lastOf returns the place of the only one of messages, if there is one.
func lastOf(messages []goredis.XMessage) (p place) {
	if len(messages) > 0 {
		p = placeOf(messages[0])
	}
	return p
}

func placeOf(m goredis.XMessage) (p place) {
	p.at, _ = parsePosition(m.ID)
	p.entry = m.Values[entryField]
	return p
}

func (p place) isIn(messages []goredis.XMessage) bool {
	return len(messages) > 0 && messages[0].Values[entryField] == p.entry
}

// bounded is a context for one command.
func (r *session) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.s.opts.LogTimeout)
}

// resume goes on where the last session stopped, if that place is still in the log:
// then everything behind it is, too. If not, or at first, it begins at the end.
func (r *session) resume(ctx context.Context) error {
	asked := time.Now()
	last := r.last()
	has := false
	if last.at != (cache.Position{}) {
		ctx, cancel := r.bounded(ctx)
		defer cancel()
		found, err := r.find(ctx, r.client, last).Result()
		if err != nil {
			return err
		}
		has = last.isIn(found)
	}
	end, err := r.lift(ctx)
	if err != nil {
		return err
	}
	if has {
		r.follow(ctx, last, time.Time{})
	} else {
		r.follow(ctx, end, asked)
	}
	return nil
}

// lift returns the end of the log, which is beyond all that this Store has heard of, or
// is made so: the log may have lost entries that it has heard of, and go on with earlier
// positions, if a server takes over whose clock is behind. Stamps and positions of tags
// are compared.
func (r *session) lift(ctx context.Context) (end place, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	r.mu.Lock()
	heard := r.heard // first: what is appended from now on is no reason
	r.mu.Unlock()
	messages, err := r.lastEntry(ctx)
	if err != nil {
		return end, err
	}
	id := "*"
	if end = lastOf(messages); end != (place{}) && !end.at.Before(heard) {
		return end, nil
	}
	if heard != (cache.Position{}) {
		id = formatPosition(cache.Position{Time: heard.Time + 1})
	}
	entry, _ := encodeEntry(r.s.origin, nil)
	added, err := r.addOne(ctx, r.client, id, entry)
	if err != nil && isTooSmall(err) { // another Store was quicker
		added, err = r.addOne(ctx, r.client, "*", entry)
	}
	if err != nil {
		return end, err
	}
	end.at, _ = parsePosition(added)
	end.entry = string(entry)
	return end, nil
}

// isTooSmall reports whether Redis refused a position because the log has later ones.
func isTooSmall(err error) bool {
	return goredis.HasErrorPrefix(err, idTooSmall)
}

// follow tells everybody that the log is read on behind a place. Begun is when the place
// was its end, if entries before may never be told; else it is zero.
func (r *session) follow(ctx context.Context, from place, begun time.Time) {
	complete := begun.IsZero()
	r.turn.Lock()
	r.mu.Lock()
	gap := !complete && r.told.at != (cache.Position{})
	if gap {
		r.gaps++
	}
	begins := !r.following
	if begins {
		r.sessions++
	}
	r.told, r.heard, r.following = from, r.heard.Later(from.at), true
	followers := r.followers
	r.mu.Unlock()
	for _, f := range followers {
		f.Since(from.at, complete)
	}
	r.began(from)
	if !complete {
		r.know(begun)
	}
	r.turn.Unlock()
	r.settle.Do(func() { close(r.settled) })
	if gap {
		r.s.outage.missed()
	}
	if begins {
		r.s.outage.end(r.partition)
		r.s.reads.wake()
		r.s.writes.wake()
	}
	r.report(ctx, LogInfo{Following: true, Gap: gap})
}

// lose tells everybody that the log cannot be read.
func (p *partition) lose(ctx context.Context, err error) {
	p.turn.Lock()
	p.mu.Lock()
	was := p.following
	p.following = false
	followers := p.followers
	p.mu.Unlock()
	closed := ctx.Err() != nil // the Store is
	if was && !closed {
		for _, f := range followers {
			f.Lost()
		}
	}
	p.turn.Unlock()
	p.settle.Do(func() { close(p.settled) })
	if (was || !p.tried) && !closed {
		p.s.outage.begin(p, "log", err)()
		p.report(ctx, LogInfo{Err: err})
	}
	p.tried = true
}

func (p *partition) report(ctx context.Context, i LogInfo) {
	if p.s.opts.Trace.Log != nil {
		p.s.opts.Trace.Log(ctx, i)
	}
}
