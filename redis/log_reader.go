package redis

import (
	"context"
	"math/rand/v2"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
)

// The bounds of the wait between two sessions. The wait doubles while the log cannot be
// read.
const (
	minReconnect = 20 * time.Millisecond
	maxReconnect = 200 * time.Millisecond
)

// sentinelReconnect is the longest wait where each dial asks Sentinels first. When no
// Sentinel answers, go-redis writes several lines to standard error for each dial.
const sentinelReconnect = time.Second

// longestWait returns the longest wait between two sessions.
func (s *Store) longestWait() time.Duration {
	if s.asksSentinels() {
		return sentinelReconnect
	}
	return maxReconnect
}

// asksSentinels reports whether the Store's client is a failover client, which asks Sentinels
// for the address of each connection.
func (s *Store) asksSentinels() bool {
	c, ok := s.client.(*goredis.Client)
	return ok && c.Options().Addr == "FailoverClient"
}

// dialed ends the sessions on other servers than that of conn, a new connection of a failover
// client: another primary has taken over. The old one may still answer for seconds. If one
// primary has several addresses, this ends a session without need, once in LogTimeout at most.
func (s *Store) dialed(conn net.Conn) {
	if _, dead := conn.(*deadConn); dead || !s.asksSentinels() { // dead: of the hook of another Store
		return
	}
	for _, p := range s.logs {
		l := p.reading.Load()
		if l != nil && l.conn.RemoteAddr().String() != conn.RemoteAddr().String() && p.leaves(s.opts.LogTimeout) {
			_ = l.Close()
		}
	}
}

// leaves reports whether dialed may end the session: once in a while.
func (p *partition) leaves(pause time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.left.IsZero() && time.Since(p.left) < pause {
		return false
	}
	p.left = time.Now()
	return true
}

// read reads the log in one session after the other, until ctx ends. After a session that
// has lasted, read dials at once. If nobody listens at the server's address, this opens the
// breaker before the commands that failed with the connection are tried again.
func (p *partition) read(ctx context.Context) {
	p.count = readCount
	wait := minReconnect
	for {
		began := time.Now()
		worked, err := p.session(ctx)
		p.s.noteRefusal(unquote(err))
		p.lose(ctx, unquote(err))
		if p.redirected(err) {
			continue
		}
		if worked {
			wait = minReconnect
		}
		p.count = max(p.count/2, 1) // the link may be too slow for so many entries in time
		if worked && time.Since(began) > maxReconnect && ctx.Err() == nil {
			continue
		}
		p.line.Store(nil) // commands do not wait for the next dial
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-p.woken:
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, p.s.longestWait())
	}
}

// wake ends the pause of the reader, because Redis serves commands again.
func (p *partition) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// redirected notes the node to which the log has moved, if a move ended the session. It
// reports whether to dial that node at once: not twice in a row, because two nodes may
// redirect to each other.
func (p *partition) redirected(err error) bool {
	was := p.movedTo
	p.movedTo, _ = goredis.IsMovedError(err)
	return p.movedTo != "" && was == ""
}

// session reads the log on a connection of its own, until the connection fails. worked
// reports whether at least one read succeeded.
func (p *partition) session(ctx context.Context) (worked bool, err error) {
	client, err := p.connect(ctx)
	if err != nil {
		p.line.Store(nil)
		return false, err
	}
	defer client.Close()
	p.reading.Store(client)
	defer p.reading.Store(nil)
	// A blocking read ignores its context. It ends with its connection.
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	r := &session{partition: p, client: client}
	if err := r.resume(ctx); err != nil {
		return false, err
	}
	r.learnNodes(ctx)
	for ; ; worked = true {
		if err := r.step(ctx); err != nil {
			return worked, err
		}
	}
}

// connect returns a client with one connection to the server that has the log. The Store's
// own client may wait longer than LogTimeout, and its connections are for the caches'
// commands.
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
		if c := p.s.circuitOf(p.key); refused(err) && (p.s.single || c.addr() == o.Addr) {
			c.reads.gone(err)
		}
		return nil, err
	}
	p.line.Store(newLine(conn))
	return only(&o, conn), nil
}

// session is the reading of a log on one connection. Only a session changes delivering.
type session struct {
	*partition
	client    *lone
	checkedAt time.Time // when the Store's client last asked for the end of the log
	expected  place     // the entry at that end, until the entry is delivered
}

// place is the position of an entry, and the entry. When entries of a log are lost, another
// entry can get the position of a lost entry: entry distinguishes the two.
type place struct {
	at    remote.Position
	entry any
}

// lastOf returns the place of the only message; zero if there is none.
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

// bounded returns the context of one command, which ends after LogTimeout.
func (r *session) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.s.opts.LogTimeout)
}

// resume continues behind the last delivered entry, if that entry is still in the log. Then
// every entry behind it is in the log, too. Otherwise, and in the first session, resume
// jumps to the end of the log.
func (r *session) resume(ctx context.Context) error {
	asked := time.Now()
	last := r.last()
	if last.at == (remote.Position{}) {
		return r.jump(ctx, asked)
	}
	bounded, cancel := r.bounded(ctx)
	defer cancel()
	found, err := r.find(bounded, r.client, last).Result()
	if err != nil {
		return err
	}
	if !last.isIn(found) {
		return r.jump(ctx, asked)
	}
	if _, err := r.raiseEnd(ctx); err != nil {
		return err
	}
	r.follow(ctx, last, nil)
	return nil
}

// jump goes on at the end of the log, because the entries behind the last delivered one are
// not known. The reader has asked for the log at the given time.
func (r *session) jump(ctx context.Context, asked time.Time) error {
	over := &jump{asked: asked}
	if r.last().at != (remote.Position{}) {
		var err error
		if over.lost, over.to, err = r.loss(ctx); err != nil {
			return err
		}
	}
	end, err := r.raiseEnd(ctx)
	if err == nil {
		r.follow(ctx, end, over)
	}
	return err
}

// jump is a step of the reader over entries that it does not know.
type jump struct {
	asked time.Time       // when the reader asked for the log
	lost  bool            // the server has lost entries that were delivered,
	to    remote.Position // those behind this position
}

// raiseEnd returns the end of the log, and ensures that the end is not before a position that
// this Store knows of. If a server takes over whose clock is behind, the log may have lost
// entries, and go on with earlier positions. Positions must not go back, because stamps are
// compared with the positions of tags. So raiseEnd appends an entry beyond the known positions.
// It also appends an entry to an empty log.
func (r *session) raiseEnd(ctx context.Context) (end place, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	r.mu.Lock()
	heard := r.newest // read before the end: entries appended from now on do not count
	r.mu.Unlock()
	messages, err := r.lastEntry(ctx)
	if err != nil {
		return end, err
	}
	if end = lastOf(messages); end != (place{}) && !end.at.Before(heard) {
		return end, nil
	}
	entry, _ := newEntry(r.s.origin, false, nil).encode()
	// First at Redis' time: other Stores may know of later positions than this one does.
	added, err := r.addOne(ctx, r.client, "*", entry)
	if at, _ := parsePosition(added); err == nil && !heard.Before(at) {
		added, err = r.addOne(ctx, r.client, formatPosition(remote.Position{Time: heard.Time + 1}), entry)
		if err != nil && isTooSmall(err) { // another Store was quicker
			added, err = r.addOne(ctx, r.client, "*", entry)
		}
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

// follow calls Since of every follower: the log is read on behind from. If entries before
// from may never be delivered, from is the end of the log, and over is the jump. Otherwise
// over is nil.
func (r *session) follow(ctx context.Context, from place, over *jump) {
	complete := over == nil
	r.deliverMu.Lock()
	r.mu.Lock()
	gap := !complete && r.delivering.at != (remote.Position{})
	if gap {
		r.gaps++
	}
	begins := !r.following
	if begins {
		r.sessions++
	}
	r.delivering, r.newest = from, r.newest.Later(from.at)
	followers := r.followers
	r.mu.Unlock()
	if gap && over.lost {
		r.revert(over.to, r.takeUnseen())
	}
	for _, f := range followers {
		f.Since(from.at, complete)
	}
	r.mu.Lock()
	r.following = true // after Since, which drops local tiers
	r.mu.Unlock()
	r.began(from, !complete)
	if !complete {
		r.know(over.asked)
	}
	r.deliverMu.Unlock()
	r.ready.Do(func() { close(r.settled) })
	if gap {
		r.s.outage.missed(true, over.lost)
	}
	if begins {
		r.s.outage.end(r.partition)
		r.s.whole.wake()
		r.s.circuitOf(r.key).wake()
	}
	r.report(ctx, LogInfo{Following: true, Gap: gap})
}

// lose calls Lost of every follower, because the log cannot be read.
func (p *partition) lose(ctx context.Context, err error) {
	p.deliverMu.Lock()
	p.mu.Lock()
	was := p.following
	p.following = false
	followers := p.followers
	p.mu.Unlock()
	closed := ctx.Err() != nil // the Store is closed
	if was && !closed {
		for _, f := range followers {
			f.Lost()
		}
	}
	p.deliverMu.Unlock()
	p.ready.Do(func() { close(p.settled) })
	if (was || !p.attempted) && !closed {
		p.s.outage.begin(p, "log", err)()
		p.report(ctx, LogInfo{Err: err})
	}
	p.attempted = true
}

func (p *partition) report(ctx context.Context, i LogInfo) {
	if p.s.opts.Trace.Log != nil {
		p.s.opts.Trace.Log(ctx, i)
	}
}
