package cachetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// DefaultBudget is the budget of the commands of a Server that sets none.
const DefaultBudget = 50 * time.Millisecond

// ErrFull, as a Fault of a fill, is the refusal of a server without memory: the
// lease stood, the value is not stored, and now there is neither.
var ErrFull = errors.New("cachetest: full")

// Fault is what is to happen to a command.
type Fault struct {
	// Delay passes before the server sees the command. From the budget on the
	// command fails with context.DeadlineExceeded.
	Delay time.Duration

	// Hold passes after the server has seen the command, and before its reply
	// arrives. It counts towards the budget like Delay.
	Hold time.Duration

	// Err is returned, and the server does not see the command.
	Err error

	// Applied makes the server see the command although it fails, as when the
	// reply is lost.
	Applied bool
}

// Remote is one instance's [cache.Remote] on a Server. It is safe for concurrent
// use.
type Remote struct {
	server *Server
	budget time.Duration

	mu      sync.Mutex // guards all below
	fault   func(op string) Fault
	calls   map[string]int
	crashed bool

	reader reader
}

var _ cache.Remote = (*Remote)(nil)

// Remote returns a new instance's view of the server.
func (s *Server) Remote() *Remote {
	budget := s.Budget
	if budget == 0 {
		budget = DefaultBudget
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &Remote{server: s, budget: budget, calls: make(map[string]int)}
	r.reader.told, r.reader.done, r.reader.heard = s.end, s.end, s.end
	s.remotes = append(s.remotes, r)
	return r
}

// Inject makes fault decide on each command from now on; nil ends that. The ops
// are "get", "wait", "lease", "seize", "fill", "release", "renew", "touch", "tags",
// "record", "end"; "delete" and "bury", which put nothing and a tombstone in the place of
// records; "append", which all that invalidates does after that; and "log", the way
// of new entries to this Remote, of which only the Delay counts. It is called without
// locks.
func (r *Remote) Inject(fault func(op string) Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// Calls returns how many commands of the kind op this Remote was given.
func (r *Remote) Calls(op string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[op]
}

// Crash ends the renewal of the leases that this Remote holds, as the death of
// its process would.
func (r *Remote) Crash() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crashed = true
}

// Budget is that of the Server.
func (r *Remote) Budget() time.Duration { return r.budget }

// do counts a command, lets its fault happen, and carries it out under the
// server's lock.
func (r *Remote) do(ctx context.Context, op string, step func(*Server)) error {
	f := r.begin(op)
	if err := pass(ctx, min(f.Delay, r.budget)); err != nil {
		return err
	}
	if f.Delay >= r.budget {
		f.Err = context.DeadlineExceeded
	}
	if f.Err == nil || f.Applied {
		r.server.mu.Lock()
		step(r.server)
		r.server.mu.Unlock()
	}
	if err := pass(ctx, min(f.Hold, r.budget-f.Delay)); err != nil {
		return err
	}
	if f.Delay >= r.budget || f.Hold >= r.budget-f.Delay {
		f.Err = context.DeadlineExceeded
	}
	return f.Err
}

// pass lets d pass, or returns ctx's error if ctx ends first, or has ended.
func pass(ctx context.Context, d time.Duration) error {
	if d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (r *Remote) begin(op string) Fault {
	r.mu.Lock()
	r.calls[op]++
	fault := r.fault
	r.mu.Unlock()
	if fault == nil {
		return Fault{}
	}
	return fault(op)
}

// Get reads key.
func (r *Remote) Get(ctx context.Context, key string, confirm bool) (rec cache.Record, err error) {
	var end cache.Position
	err = r.do(ctx, "get", func(s *Server) { rec, end = s.recordLocked(key), s.end })
	if err != nil {
		return cache.Record{}, err
	}
	rec.Complete = confirm && r.reader.reached(end)
	return rec, nil
}

// GetOrLease reads key, or takes its lease.
func (r *Remote) GetOrLease(ctx context.Context, key string, hold time.Duration, confirm bool) (cache.Lease, cache.Record, error) {
	var rec cache.Record
	var end cache.Position
	var l *lease
	err := r.do(ctx, "get", func(s *Server) {
		rec, end = s.recordLocked(key), s.end
		if rec.State == cache.StateAbsent {
			l = r.grantLocked(key)
		}
	})
	if err != nil {
		return nil, cache.Record{}, err
	}
	rec.Complete = confirm && r.reader.reached(end)
	if l == nil {
		return nil, rec, nil
	}
	l.keep(hold)
	return l, rec, nil
}

// Wait returns when key is not leased.
func (r *Remote) Wait(ctx context.Context, key string) (cache.Record, error) {
	for {
		var rec cache.Record
		var changed <-chan struct{}
		if err := r.do(ctx, "wait", func(s *Server) {
			rec, changed = s.recordLocked(key), s.changeLocked()
		}); err != nil {
			return cache.Record{}, err
		}
		if rec.State != cache.StateLease {
			return rec, nil
		}
		select {
		case <-changed:
		case <-time.After(rec.Left):
		case <-ctx.Done():
			return cache.Record{}, ctx.Err()
		}
	}
}

// Lease takes the lease of key, if nothing stands in the way.
func (r *Remote) Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (cache.Lease, cache.Record, error) {
	var rec cache.Record
	var l *lease
	err := r.do(ctx, "lease", func(s *Server) {
		rec = s.recordLocked(key)
		if rec.State == cache.StateAbsent || (len(replace) == 8 && string(rec.Version) == string(replace)) {
			rec, l = cache.Record{}, r.grantLocked(key)
		}
	})
	if err != nil || l == nil {
		return nil, rec, err
	}
	l.keep(hold)
	return l, rec, nil
}

// Seize takes the lease of key, unless a tombstone stands there.
func (r *Remote) Seize(ctx context.Context, key string, hold time.Duration) (cache.Lease, error) {
	var l *lease
	err := r.do(ctx, "seize", func(s *Server) {
		if s.recordLocked(key).State != cache.StateTombstone {
			l = r.grantLocked(key)
		}
	})
	if err != nil || l == nil {
		return nil, err
	}
	l.keep(hold)
	return l, nil
}

// Invalidate removes the records of keys.
func (r *Remote) Invalidate(ctx context.Context, keys []string, hold time.Duration) error {
	return r.replace(ctx, "delete", keys, func(s *Server, key string) { s.liftLocked(key, cache.Token{}, hold) })
}

// Ban puts tombstones.
func (r *Remote) Ban(ctx context.Context, ban cache.Token, keys []string, ttl time.Duration) error {
	return r.replace(ctx, "bury", keys, func(s *Server, key string) { s.buryLocked(key, &ban, ttl) })
}

// Lift removes tombstones.
func (r *Remote) Lift(ctx context.Context, ban cache.Token, keys []string, hold time.Duration) error {
	return r.replace(ctx, "delete", keys, func(s *Server, key string) { s.liftLocked(key, ban, hold) })
}

// replace changes what stands at keys, and appends them to the log.
func (r *Remote) replace(ctx context.Context, op string, keys []string, change func(*Server, string)) error {
	err := r.do(ctx, op, func(s *Server) {
		for _, key := range keys {
			change(s, key)
		}
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	return r.Announce(ctx, keys...)
}

// Touch starts the TTL of a value anew.
func (r *Remote) Touch(ctx context.Context, key string) (left time.Duration, err error) {
	err = r.do(ctx, "touch", func(s *Server) {
		rec := s.aliveLocked(key)
		if rec == nil || rec.State != cache.StateValue {
			return
		}
		now := time.Now()
		expires := now.Add(rec.TTL)
		if expires.After(rec.deadline) {
			expires = rec.deadline
		}
		if expires.After(rec.expires) {
			rec.expires = expires
			left = expires.Sub(now)
		}
	})
	return left, err
}
