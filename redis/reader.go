package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/nearside-go/nearside/cache"
)

const (
	readCount = 512 // entries in one reply

	// The waits between two connections, which double while none can be made.
	minReconnect = 20 * time.Millisecond
	maxReconnect = time.Second
)

// read reads the log on one connection after the other, until ctx ends.
func (p *partition) read(ctx context.Context) {
	wait := minReconnect
	for {
		began := time.Now()
		err := p.session(ctx)
		p.lose(ctx, err)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 2*p.s.opts.LogTimeout {
			wait = minReconnect
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, maxReconnect)
	}
}

// session reads the log on a connection of its own, until that fails.
func (p *partition) session(ctx context.Context) error {
	client, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	// A read that blocks does not heed its context, but the end of its connection.
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	r := &session{partition: p, client: client}
	if err := r.resume(ctx); err != nil {
		return err
	}
	for {
		if err := r.next(ctx); err != nil {
			return err
		}
	}
}

// connect returns a client of one connection to the server that has the log: the
// Store's own may wait longer than LogTimeout, and has better use for its connections.
func (p *partition) connect(ctx context.Context) (*goredis.Client, error) {
	var o goredis.Options
	switch c := p.s.client.(type) {
	case *goredis.Client:
		o = *c.Options()
	case *goredis.ClusterClient:
		c.ReloadState(ctx)
		node, err := p.node(ctx, c)
		if err != nil {
			return nil, err
		}
		o = *node.Options()
	default:
		return nil, errors.New("redis: the log cannot be read with a client of this type")
	}
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 1, 0, 1, 0
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ContextTimeoutEnabled = true
	o.DialTimeout = p.s.opts.LogTimeout
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return goredis.NewClient(&o), nil
}

func (p *partition) node(ctx context.Context, c *goredis.ClusterClient) (*goredis.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, p.s.opts.LogTimeout)
	defer cancel()
	return abandonable(ctx, func(ctx context.Context) (*goredis.Client, error) { return c.MasterForKey(ctx, p.key) })
}

// session is the reading of a log on one connection. It alone moves told.
type session struct {
	*partition
	client *goredis.Client
	ahead  cache.Position // the end of the log as the Store's client last saw it
}

// isTooSmall reports whether Redis refused a position because the log has later ones.
func isTooSmall(err error) bool {
	return goredis.HasErrorPrefix(err, "The ID specified in XADD is equal or smaller")
}

var errElsewhere = errors.New("redis: the log is read from another server than is written to")

// bounded is a context for one command.
func (r *session) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.s.opts.LogTimeout)
}

// resume goes on where the last session stopped, if that place is still in the log:
// then everything behind it is, too.
func (r *session) resume(ctx context.Context) error {
	told, last := r.position(), r.lastEntry
	if told == (cache.Position{}) {
		return r.begin(ctx, false)
	}
	has, err := r.has(ctx, told, last)
	if err != nil {
		return err
	}
	if !has {
		return r.begin(ctx, true)
	}
	r.follow(ctx, told, true)
	return nil
}

// begin starts behind the last entry, or behind one of its own where there is none.
// The log may have lost entries that this Store has heard of, and go on with earlier
// positions, if a server takes over whose clock is behind. So it is lifted beyond all
// that this Store has heard of: stamps and positions of tags are compared.
func (r *session) begin(ctx context.Context, gap bool) error {
	asked := time.Now()
	end, found, err := r.end(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	heard := r.heard
	r.knew = asked
	r.mu.Unlock()
	id := "*"
	if end.Before(heard) && found || !found && heard != (cache.Position{}) {
		id = formatPosition(cache.Position{Time: heard.Time + 1})
	}
	if !found || id != "*" {
		ctx, cancel := r.bounded(ctx)
		defer cancel()
		entry, _ := encodeEntry(r.s.origin, nil)
		added, err := r.add(ctx, r.client, id, entry).Result()
		if err != nil && id != "*" && isTooSmall(err) {
			// What had later positions than this Store has heard of is gone, or another
			// Store was quicker.
			added, err = r.add(ctx, r.client, "*", entry).Result()
		}
		if err != nil {
			return err
		}
		end, _ = parsePosition(added)
		r.lastEntry = string(entry)
	}
	if gap {
		r.mu.Lock()
		r.gaps++
		r.mu.Unlock()
	}
	r.follow(ctx, end, false)
	return nil
}

// follow tells everybody that the log is being read from at on.
func (r *session) follow(ctx context.Context, at cache.Position, complete bool) {
	r.mu.Lock()
	first := r.sessions == 0
	if !r.following {
		r.sessions++
	}
	r.told, r.heard, r.following = at, r.heard.Later(at), true
	followers := r.followers
	r.mu.Unlock()
	for _, f := range followers {
		f.Since(at, complete)
	}
	r.tell(at)
	r.settle.Do(func() { close(r.settled) })
	gap := !complete && !first
	if gap {
		r.s.opts.Logger.WarnContext(ctx, "log entries may have been missed; local tiers are dropped")
	}
	r.report(ctx, LogInfo{Following: true, Gap: gap})
}

func (p *partition) report(ctx context.Context, i LogInfo) {
	if p.s.opts.Trace.Log != nil {
		p.s.opts.Trace.Log(ctx, i)
	}
}

// lose tells everybody that the log cannot be read.
func (p *partition) lose(ctx context.Context, err error) {
	p.mu.Lock()
	was := p.following
	p.following = false
	followers := p.followers
	p.mu.Unlock()
	p.settle.Do(func() { close(p.settled) })
	if !was || ctx.Err() != nil { // or the Store is closed
		return
	}
	for _, f := range followers {
		f.Lost()
	}
	p.s.opts.Logger.WarnContext(ctx, "the log cannot be read", "error", err)
	p.report(ctx, LogInfo{Err: err})
}

func (p *partition) position() cache.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

// next waits for entries and tells of them. Then it makes sure that those are all
// there were: as long as the entry before them is still in the log, nothing behind that
// was trimmed away unseen. A reader that has waited has missed nothing either way, but
// one that lags behind a short log could.
func (r *session) next(ctx context.Context) error {
	told, last, asked := r.position(), r.lastEntry, time.Now()
	messages, err := r.wait(ctx, told)
	if err != nil {
		return err
	}
	if len(messages) == 0 {
		asked = asked.Add(r.block()) // it blocked for so long, or longer
	}
	r.apply(ctx, messages)
	if len(messages) < readCount {
		r.know(asked)
	}
	has, err := r.has(ctx, told, last)
	if err != nil {
		return err
	}
	if !has {
		return r.begin(ctx, true)
	}
	if len(messages) == 0 {
		return errors.Join(r.look(ctx), r.compare(ctx, told))
	}
	return nil
}

// compare makes sure that the log is read where the Store's commands go: what their
// server had at the last look must have been told by now.
func (r *session) compare(ctx context.Context, told cache.Position) error {
	if told.Before(r.ahead) {
		return errElsewhere
	}
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	end, err := abandonable(ctx, func(ctx context.Context) (cache.Position, error) {
		return endOf(r.s.client.XRevRangeN(ctx, r.key, "+", "-", 1))
	})
	if err == nil {
		r.ahead = end
	}
	return nil
}

// block is how long Redis is to wait for entries. A connection that is silent for
// LogTimeout is dead, and what is read from Redis is known to be right until an answer.
func (p *partition) block() time.Duration { return p.s.opts.LogTimeout / 4 }

// know notes that all entries until then were told.
func (r *session) know(until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.knew = until
}

// wait returns the entries after told, none if there were none for a while.
func (r *session) wait(ctx context.Context, told cache.Position) ([]goredis.XMessage, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	streams, err := r.client.XRead(ctx, &goredis.XReadArgs{
		Streams: []string{r.key, formatPosition(told)}, Count: readCount, Block: r.block(),
	}).Result()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil || len(streams) != 1 {
		return nil, errors.Join(err, errReply)
	}
	return streams[0].Messages, nil
}

// has reports whether the entry at that position is in the log.
func (r *session) has(ctx context.Context, at cache.Position, entry any) (bool, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	id := formatPosition(at)
	found, err := r.client.XRangeN(ctx, r.key, id, id, 1).Result()
	return len(found) > 0 && found[0].Values[entryField] == entry, err
}

// end returns the position of the last entry.
func (r *session) end(ctx context.Context) (at cache.Position, found bool, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	reply := r.client.XRevRangeN(ctx, r.key, "+", "-", 1)
	if last := reply.Val(); len(last) > 0 {
		r.lastEntry = last[0].Values[entryField]
	}
	at, err = endOf(reply)
	return at, at != cache.Position{}, err
}

// look counts the entries.
func (r *session) look(ctx context.Context) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	n, err := r.client.XLen(ctx, r.key).Result()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.depth = n
	return nil
}

// apply tells the followers of entries. A follower that is new meanwhile begins behind
// them.
func (r *session) apply(ctx context.Context, messages []goredis.XMessage) {
	if len(messages) == 0 {
		return
	}
	r.mu.Lock()
	last, _ := parsePosition(messages[len(messages)-1].ID)
	r.told, r.heard = last, r.heard.Later(last)
	r.entries += uint64(len(messages))
	if !r.appended.IsZero() && !last.Before(r.last) {
		r.lag, r.appended = time.Since(r.appended), time.Time{}
	}
	followers := r.followers
	r.mu.Unlock()
	r.lastEntry = messages[len(messages)-1].Values[entryField]
	for _, m := range messages {
		r.applyOne(ctx, m, followers)
	}
	r.tell(last)
}

// tell notes that the followers have been told of everything up to at.
func (r *session) tell(at cache.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = at
}

// applyOne steps over an entry that it does not understand: those that wrote it are of
// another release, or no nearside at all.
func (r *session) applyOne(ctx context.Context, m goredis.XMessage, followers []*follower) {
	at, from, names, err := decodeMessage(m)
	if err != nil {
		r.mu.Lock()
		r.malformed++
		r.mu.Unlock()
		r.odd.Do(func() { r.s.opts.Logger.WarnContext(ctx, "a log entry is not understood", "error", err) })
		return
	}
	for _, name := range names {
		of := cacheOf(name)
		for _, f := range followers {
			if f.cache == of {
				f.Invalidated(name, at, from == r.s.origin)
			}
		}
	}
}
