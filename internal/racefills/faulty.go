package racefills

import (
	"context"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// Unfenced is a faulty remote tier: its leases fill whether they still stand or not. Run
// must find old values with it, since a check that cannot fail proves nothing.
type Unfenced struct{ remote.Tier }

// GetOrLease leaves the lease to Lease.
func (u Unfenced) GetOrLease(ctx context.Context, key string, _ time.Duration, confirm bool) (remote.Lease, remote.Record, error) {
	rec, err := u.Get(ctx, key, confirm)
	return nil, rec, err
}

// Lease takes a lease that does not fence.
func (u Unfenced) Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (remote.Lease, remote.Record, error) {
	l, rec, err := u.Tier.Lease(ctx, key, hold, replace)
	if l == nil || err != nil {
		return nil, rec, err
	}
	return &unfenced{Lease: l, remote: u.Tier, key: key}, rec, nil
}

type unfenced struct {
	remote.Lease
	remote remote.Tier
	key    string
}

// Fill seizes a new lease, and fills that one.
func (l *unfenced) Fill(ctx context.Context, f remote.Fill) (held bool, err error) {
	if _, err := l.Lease.Release(ctx); err != nil {
		return false, err
	}
	own, err := l.remote.Seize(ctx, l.key, time.Second)
	if own == nil || err != nil {
		return false, err
	}
	return own.Fill(ctx, f)
}

// OneToken is a faulty remote tier: all leases of a key have one token, as if a token named
// a process and not a load. Run must find old values with OneToken too.
type OneToken struct {
	remote.Tier
	latest sync.Map // from a key to its latest remote.Lease
}

// GetOrLease leaves the lease to Lease.
func (o *OneToken) GetOrLease(ctx context.Context, key string, _ time.Duration, confirm bool) (remote.Lease, remote.Record, error) {
	rec, err := o.Get(ctx, key, confirm)
	return nil, rec, err
}

// Lease takes a lease that stands as long as any lease of this tier for the key.
func (o *OneToken) Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (remote.Lease, remote.Record, error) {
	l, rec, err := o.Tier.Lease(ctx, key, hold, replace)
	if l == nil || err != nil {
		return nil, rec, err
	}
	o.latest.Store(key, l)
	return &anyLease{o, key}, rec, nil
}

type anyLease struct {
	remote *OneToken
	key    string
}

func (l *anyLease) latest() remote.Lease {
	latest, _ := l.remote.latest.Load(l.key)
	return latest.(remote.Lease)
}

// Fill fills the lease that the instance took last.
func (l *anyLease) Fill(ctx context.Context, f remote.Fill) (held bool, err error) {
	return l.latest().Fill(ctx, f)
}

// Release releases the lease that the instance took last.
func (l *anyLease) Release(ctx context.Context) (held bool, err error) {
	return l.latest().Release(ctx)
}
