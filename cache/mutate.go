package cache

import (
	"context"
	"crypto/rand"
	"errors"
)

var errNoKeys = errors.New("cache: Mutate was given no keys")

// Mutate runs write, which writes to the source what concerns keys, and invalidates
// them. It does more than write followed by Invalidate: while write runs, nothing
// fills the keys in either tier, on any instance, and if the process dies before
// it can invalidate, no old value is left: what stands for the keys in the remote
// tier is a tombstone, under which reads load and store nothing, until it lapses,
// Options.MutateTimeout and a budget later.
//
// The context of write is ctx with that timeout. When write fails its error is
// returned, unchanged, and when it panics the panic goes on. The keys are misses then,
// as after a write that succeeded: a write that fails may have committed, as one whose
// reply was lost, and nobody can tell. Besides, Mutate returns the errors of
// Invalidate, after a write that succeeded; an error for no keys, with nothing
// written; and it panics if write is nil.
//
// A remote tier that fails does not keep write from running. Then the crash is not
// provided for, and Mutate is write followed by Invalidate.
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
	rand.Read(m.ban[:])
	return m.run(ctx, write)
}

// mutation is one Mutate at work.
type mutation[K comparable, V any] struct {
	c    *Cache[K, V]
	keys []K
	ban  Token
}

func (m *mutation[K, V]) run(ctx context.Context, write func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, m.c.opts.MutateTimeout) // from before the tombstones: they outlast it
	defer cancel()
	names := m.c.remoteKeys(m.keys)
	m.c.banned.add(names)
	defer m.c.banned.remove(names)
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

// begin puts the tombstones. A failure is counted, and is not the caller's: lift
// will meet it again.
func (m *mutation[K, V]) begin(ctx context.Context) {
	_ = m.c.overwrite(ctx, "ban", m.keys, func(ctx context.Context, remoteKeys []string) error {
		return m.c.opts.Remote.Ban(ctx, m.ban, remoteKeys, sum(m.c.opts.MutateTimeout, m.c.opts.Remote.Budget()))
	})
}

func (m *mutation[K, V]) lift(ctx context.Context) error {
	return m.c.overwrite(ctx, "invalidate", m.keys, func(ctx context.Context, remoteKeys []string) error {
		return m.c.opts.Remote.Lift(ctx, m.ban, remoteKeys, m.c.opts.HoldOff)
	})
}
