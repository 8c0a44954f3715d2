package racefills

import (
	"context"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache"
)

// Unfenced is a faulty Remote, whose leases fill whether they stand or not. With
// it Run must find old values: a check that cannot fail proves nothing.
type Unfenced struct{ cache.Remote }

// GetOrLease leaves the lease to Lease.
func (u Unfenced) GetOrLease(ctx context.Context, key string, _ time.Duration, confirm bool) (cache.Lease, cache.Record, error) {
	rec, err := u.Get(ctx, key, confirm)
	return nil, rec, err
}

// Lease takes a lease that does not fence.
func (u Unfenced) Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (cache.Lease, cache.Record, error) {
	l, rec, err := u.Remote.Lease(ctx, key, hold, replace)
	if l == nil || err != nil {
		return nil, rec, err
	}
	return &unfenced{Lease: l, remote: u.Remote, key: key}, rec, nil
}

type unfenced struct {
	cache.Lease
	remote cache.Remote
	key    string
}

// Fill fills a lease that it seizes for the purpose.
func (l *unfenced) Fill(ctx context.Context, f cache.Fill) (held bool, err error) {
	if _, err := l.Lease.Release(ctx); err != nil {
		return false, err
	}
	own, err := l.remote.Seize(ctx, l.key, time.Second)
	if own == nil || err != nil {
		return false, err
	}
	return own.Fill(ctx, f)
}

// OneToken is a faulty Remote, whose leases of a key have all one token, as if a token
// named a process and not a load. With it, too, Run must find old values.
type OneToken struct {
	cache.Remote
	latest sync.Map // from a key to the cache.Lease that was taken last
}

// GetOrLease leaves the lease to Lease.
func (o *OneToken) GetOrLease(ctx context.Context, key string, _ time.Duration, confirm bool) (cache.Lease, cache.Record, error) {
	rec, err := o.Get(ctx, key, confirm)
	return nil, rec, err
}

// Lease takes a lease that is held for as long as any of this Remote's is.
func (o *OneToken) Lease(ctx context.Context, key string, hold time.Duration, replace []byte) (cache.Lease, cache.Record, error) {
	l, rec, err := o.Remote.Lease(ctx, key, hold, replace)
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

func (l *anyLease) latest() cache.Lease {
	latest, _ := l.remote.latest.Load(l.key)
	return latest.(cache.Lease)
}

// Fill fills the lease that the instance took last.
func (l *anyLease) Fill(ctx context.Context, f cache.Fill) (held bool, err error) {
	return l.latest().Fill(ctx, f)
}

// Release releases the lease that the instance took last.
func (l *anyLease) Release(ctx context.Context) (held bool, err error) {
	return l.latest().Release(ctx)
}
