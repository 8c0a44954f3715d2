package cachetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// DefaultBudget is the budget of the commands of a Server whose Budget is zero.
const DefaultBudget = 50 * time.Millisecond

// ErrFull, as the Err of a Fault, makes a fill fail as on a server without memory: the
// lease stood, the value is not stored, and there is neither a lease nor a value now.
var ErrFull = errors.New("cachetest: full")

// Fault is a fault of one command.
type Fault struct {
	// Delay passes before the server receives the command. With a Delay of the budget or
	// more the command fails with context.DeadlineExceeded.
	Delay time.Duration

	// Hold passes after the server has carried out the command, and before the reply
	// arrives. Delay and Hold together count towards the budget.
	Hold time.Duration

	// Err is returned, and the server does not receive the command, unless Applied is set.
	Err error

	// Applied makes the server carry out a command that fails, as when the reply is lost.
	Applied bool
}

// Remote is one instance's [remote.Tier] on a Server. It is safe for concurrent use.
type Remote struct {
	server *Server
	budget time.Duration

	mu      sync.Mutex // guards all below
	fault   func(op string) Fault
	calls   map[string]int
	crashed bool

	reader reader
}

var _ remote.Tier = (*Remote)(nil)

// Remote returns the Tier of a new instance on the server.
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

// Inject makes fault decide on each command from now on; nil ends that. The ops are:
//
//   - "get", "wait", "lease", "seize", "fill", "release", "touch", "tags" and "end", for
//     the methods of those names. "get" includes GetOrLease, and "tags" is TagPositions.
//     A method for many keys is one command: GetMany a "get", LeaseMany a "lease", EndMany a
//     "fill" or, without a fill, a "release", and TouchMany a "touch".
//   - "renew", the renewal of a lease.
//   - "record", a change of the positions of tags, by InvalidateTags or RecordTags.
//   - "delete", the change of records by Invalidate or Unguard; and "guard", by Guard.
//   - "append", an append to the log. Invalidate, Unguard and Guard append after their change.
//   - "log", the delivery of new entries to this Remote, for which only the Delay counts.
//
// fault is called without locks.
func (r *Remote) Inject(fault func(op string) Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// Calls returns how many commands of the kind op this Remote has received.
func (r *Remote) Calls(op string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[op]
}

// Crash ends the renewal of the leases that this Remote holds, as the death of its process
// would.
func (r *Remote) Crash() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crashed = true
}

// Budget returns the budget of this Remote's commands.
func (r *Remote) Budget() time.Duration { return r.budget }

// do counts a command, injects its fault, and carries it out under the server's lock.
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

// pass waits for d. It returns ctx's error if ctx ends first, or has ended.
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

// Get reads the record of key.
func (r *Remote) Get(ctx context.Context, key string, confirm bool) (rec remote.Record, err error) {
	var end remote.Position
	err = r.do(ctx, "get", func(s *Server) { rec, end = s.recordLocked(key), s.end })
	if err != nil {
		return remote.Record{}, err
	}
	rec.Complete = confirm && r.reader.reached(end)
	return rec, nil
}

// GetOrLease reads the record of key, or takes the lease of a key without a record.
func (r *Remote) GetOrLease(ctx context.Context, key string, hold time.Duration, confirm bool) (remote.Lease, remote.Record, error) {
	var rec remote.Record
	var end remote.Position
	var l *lease
	err := r.do(ctx, "get", func(s *Server) {
		rec, end = s.recordLocked(key), s.end
		if rec.State == remote.StateAbsent {
			l = r.grantLocked(key)
		}
	})
	if err != nil {
		return nil, remote.Record{}, err
	}
	rec.Complete = confirm && r.reader.reached(end)
	if l == nil {
		return nil, rec, nil
	}
	l.keep(hold, r.server.leaseTTL()/3)
	return l, rec, nil
}

// Wait returns the record of key as soon as there is no lease.
func (r *Remote) Wait(ctx context.Context, key string) (remote.Record, error) {
	for {
		var rec remote.Record
		var changed <-chan struct{}
		if err := r.do(ctx, "wait", func(s *Server) {
			rec, changed = s.recordLocked(key), s.changeLocked()
		}); err != nil {
			return remote.Record{}, err
		}
		overdue := r.server.leaseTTL() / 3 // the holder has left out two renewals
		if rec.State != remote.StateLease || rec.Left <= overdue {
			return rec, nil
		}
		select {
		case <-changed:
		case <-time.After(rec.Left - overdue):
		case <-ctx.Done():
			return remote.Record{}, ctx.Err()
		}
	}
}

// Lease takes the lease of key, if there is no record, or the one that replace names.
func (r *Remote) Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (remote.Lease, remote.Record, error) {
	return r.lease(ctx, remote.LeaseAsk{Key: key, Replace: replace}, hold)
}

func (r *Remote) lease(ctx context.Context, ask remote.LeaseAsk, hold time.Duration) (remote.Lease, remote.Record, error) {
	got := r.LeaseMany(ctx, []remote.LeaseAsk{ask}, hold)[0]
	return got.Lease, got.Record, got.Err
}

// LeaseBeside takes the lease of the value that version names.
func (r *Remote) LeaseBeside(ctx context.Context, key string, hold time.Duration, version []byte) (remote.Lease, remote.Record, error) {
	return r.lease(ctx, remote.LeaseAsk{Key: key, Replace: version, Beside: true}, hold)
}

// Seize takes the lease of key, unless a tombstone stands there.
func (r *Remote) Seize(ctx context.Context, key string, hold time.Duration) (remote.Lease, error) {
	var l *lease
	err := r.do(ctx, "seize", func(s *Server) {
		if s.recordLocked(key).State != remote.StateTombstone {
			l = r.grantLocked(key)
		}
	})
	if err != nil || l == nil {
		return nil, err
	}
	l.keep(hold, r.server.leaseTTL()/3)
	return l, nil
}

// Invalidate removes the records of keys, except tombstones, or leaves tombstones for hold.
func (r *Remote) Invalidate(ctx context.Context, keys []string, hold time.Duration) error {
	return r.replace(ctx, "delete", keys, func(s *Server, key string) { s.unguardLocked(key, remote.Token{}, hold) })
}

// Guard replaces the records of keys by tombstones.
func (r *Remote) Guard(ctx context.Context, token remote.Token, keys []string, ttl time.Duration) error {
	return r.replace(ctx, "guard", keys, func(s *Server, key string) { s.guardLocked(key, &token, ttl) })
}

// Unguard ends a guard of keys, and removes every record but the tombstones that other guards
// share.
func (r *Remote) Unguard(ctx context.Context, token remote.Token, keys []string, hold time.Duration) error {
	return r.replace(ctx, "delete", keys, func(s *Server, key string) { s.unguardLocked(key, token, hold) })
}

// replace changes the records of keys, and appends keys to the log.
func (r *Remote) replace(ctx context.Context, op string, keys []string, change func(*Server, string)) error {
	err := r.do(ctx, op, func(s *Server) {
		for _, key := range keys {
			change(s, key)
		}
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	_, err = r.append(ctx, keys, false)
	return err
}

// Touch starts the TTL of a value again.
func (r *Remote) Touch(ctx context.Context, key string) (left time.Duration, err error) {
	err = r.do(ctx, "touch", func(s *Server) { left = s.touchLocked(key) })
	return left, err
}

func (s *Server) touchLocked(key string) (left time.Duration) {
	rec := s.aliveLocked(key)
	if rec == nil || rec.State != remote.StateValue {
		return 0
	}
	now := time.Now()
	expires := now.Add(rec.TTL)
	if expires.After(rec.deadline) {
		expires = rec.deadline
	}
	if end := rec.expires.Add(-rec.Window); !now.Before(end) || !expires.After(end) {
		return 0
	}
	rec.expires = expires.Add(rec.Window)
	return expires.Sub(now)
}
