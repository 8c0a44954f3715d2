package cache

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/nearside-go/nearside/cache/internal/batch"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/loader"
)

// member is the part of one fetch in a together. A nil member is in none.
type member[K comparable, V any] struct {
	*batch.Member
	g      *together[K, V]
	at     int         // the place of the key among those of the call
	handed atomic.Bool // the fetch runs on a goroutine of its own, and leaves at its end
}

func (g *together[K, V]) newMember(at int) *member[K, V] {
	return &member[K, V]{Member: g.members.NewMember(), g: g, at: at}
}

// in reports whether m is still in its together.
func (m *member[K, V]) in() bool { return m != nil && m.In() }

// leave takes m out of its together.
func (m *member[K, V]) leave() {
	if m != nil {
		m.Leave()
	}
}

// work returns w as the work of a flight that m leaves the together with: at the end of the
// flight, or as soon as the flight turns out to be another caller's.
func (m *member[K, V]) work(w loader.Work[answer[V]]) loader.Work[answer[V]] {
	if m != nil {
		w.Joined, w.Load = m.leave, m.ofFlight(w.Load)
	}
	return w
}

// ofFlight returns load as the Load of a flight, at the end of which m leaves the together.
func (m *member[K, V]) ofFlight(load func(context.Context, *loader.Flight[answer[V]]) (answer[V], error)) func(context.Context, *loader.Flight[answer[V]]) (answer[V], error) {
	return func(ctx context.Context, f *loader.Flight[answer[V]]) (answer[V], error) {
		m.handed.Store(true)
		defer m.leave()
		return load(ctx, f)
	}
}

// What a fetch asks, alone or together with others.

// spend runs a command of the remote tier within the fetch's budget. In a together the steps
// have one budget for all.
func (t *fetch[K, V]) spend(ctx context.Context, command func(context.Context) error) error {
	if t.member.in() {
		return command(context.WithoutCancel(ctx))
	}
	return t.budget.spend(ctx, command)
}

// leaveOthers makes t go on alone, with what is left of its budget, so that the others of its call
// do not wait for it.
func (t *fetch[K, V]) leaveOthers() {
	if t.member.in() {
		t.budget.left -= time.Duration(t.member.g.spent.Load())
		t.member.leave()
	}
}

// limited calls load in a place of MaxLoads.
func (t *fetch[K, V]) limited(ctx context.Context, load func(context.Context)) error {
	if m := t.member; m.in() {
		if failed, in, err := m.g.places.Do(ctx, m.Member, struct{}{}); in {
			if err = cmp.Or(err, failed); err != nil {
				return err
			}
			if m.in() { // otherwise the place may be gone with the others
				load(ctx)
				return nil
			}
		}
	}
	return t.c.limit.Run(ctx, load)
}

func (t *fetch[K, V]) fillLease(ctx context.Context, l remote.Lease, fill remote.Fill) (held bool, err error) {
	if t.member.in() {
		if e, in := t.member.end(ctx, l, &fill); in {
			return e.Held, e.Err
		}
	}
	return l.Fill(ctx, fill)
}

func (t *fetch[K, V]) releaseLease(ctx context.Context, l remote.Lease) (held bool, err error) {
	if t.member.in() {
		if e, in := t.member.end(ctx, l, nil); in {
			return e.Held, e.Err
		}
	}
	return l.Release(ctx)
}

func (m *member[K, V]) end(ctx context.Context, l remote.Lease, fill *remote.Fill) (remote.Ended, bool) {
	e, in, err := m.g.ends.Do(ctx, m.Member, remote.LeaseEnd{Lease: l, Fill: fill})
	return e, in && err == nil // after an error the lease is ended alone
}

// touchLater renews the TTL of t.key in the remote tier, in the background.
func (t *fetch[K, V]) touchLater(ctx context.Context) {
	if t.gathers {
		t.touches = true
		return
	}
	if m := t.member; m.in() {
		m.g.mu.Lock()
		defer m.g.mu.Unlock()
		m.g.touches = append(m.g.touches, t.key)
		return
	}
	t.c.touchLater(ctx, t.key)
}
