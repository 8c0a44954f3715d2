package cache

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/nearside-go/nearside/cache/remote"
)

var errNoKeys = errors.New("cache: Mutate was given no keys")

// Mutate runs write, which changes keys in the source, and invalidates keys. Mutate does more
// than write followed by Invalidate: while write runs, no instance fills the keys in either
// tier, and if the process dies before the invalidation, no old value is left. Tombstones
// stand for the keys in the remote tier: reads of the keys load, and store nothing. A
// tombstone that nobody removes lapses after Options.MutateTimeout and a budget.
//
// The context of write is ctx with that timeout. If write fails, Mutate returns its error
// unchanged, and if write panics, the panic goes on. In both cases the keys are misses, as
// after a write that succeeded, because a write whose reply was lost may have committed.
// After a write that succeeded Mutate returns the errors of Invalidate. Mutate without keys
// returns an error, and does not call write. Mutate panics if write is nil.
//
// A failure of the remote tier does not keep write from running. Then a crash can leave an
// old value, and Mutate is write followed by Invalidate.
func (c *Cache[K, V]) Mutate(ctx context.Context, keys []K, write func(context.Context) error) error {
	if write == nil {
		panic("cache: Mutate was given no function to write with")
	}
	if len(keys) == 0 {
		return errNoKeys
	}
	if !c.gate.enter() {
		return ErrClosed
	}
	defer c.gate.leave()
	m := mutation[K, V]{c: c, keys: equalToThemselves(keys)}
	rand.Read(m.token[:])
	return m.run(ctx, write)
}

// mutation is one Mutate at work.
type mutation[K comparable, V any] struct {
	c     *Cache[K, V]
	keys  []K
	token remote.Token
}

func (m *mutation[K, V]) run(ctx context.Context, write func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, m.c.opts.MutateTimeout) // before the tombstones, which outlast it
	defer cancel()
	names := m.c.remoteKeys(m.keys)
	m.c.guarded.Add(names)
	defer m.c.guarded.Remove(names)
	m.begin(ctx)
	written := false
	defer func() {
		lifted := m.lift(ctx)
		if written && err == nil {
			err = lifted
		}
	}()
	err = write(ctx)
	written = true
	return err
}

// begin puts the tombstones. Its failure is counted, and not returned: if the remote tier
// still fails, lift returns the error.
func (m *mutation[K, V]) begin(ctx context.Context) {
	_ = m.c.overwriteKeys(ctx, opGuard, m.keys, func(ctx context.Context, remoteKeys []string) error {
		return m.c.opts.Remote.Guard(ctx, m.token, remoteKeys, sum(m.c.opts.MutateTimeout, m.c.opts.Remote.Budget()))
	})
}

func (m *mutation[K, V]) lift(ctx context.Context) error {
	return m.c.overwriteKeys(ctx, "invalidate", m.keys, func(ctx context.Context, remoteKeys []string) error {
		return m.c.opts.Remote.Unguard(ctx, m.token, remoteKeys, m.c.opts.HoldOff)
	})
}
