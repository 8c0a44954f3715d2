package cache

import (
	"context"
	"errors"
)

// previousKey is the key of a context's value for Previous.
type previousKey struct{}

// Previous returns the value that a load is to replace, for a loader that is called with ctx;
// false if the cache has none. V is the type of the cache's values. The value is stale, or with
// Options.EarlyRevalidation about to be. Callers share it, so treat it as read-only. A loader that asks its source whether the value
// has changed may return [ErrNotModified].
func Previous[V any](ctx context.Context) (V, bool) {
	if v, _ := ctx.Value(previousKey{}).(*V); v != nil {
		return *v, true
	}
	var zero V
	return zero, false
}

// withPrevious returns the context of a loader. A loader that another cache's loader calls
// does not see the value of that cache.
func (t *fetch[K, V]) withPrevious(ctx context.Context) context.Context {
	if t.old != nil && t.member == nil {
		return context.WithValue(ctx, previousKey{}, &t.old.entry.value)
	}
	return withoutPrevious(ctx)
}

func withoutPrevious(ctx context.Context) context.Context {
	if ctx.Value(previousKey{}) == nil {
		return ctx
	}
	return context.WithValue(ctx, previousKey{}, nil)
}

// notModified reports whether the value that a load was to replace is the loaded value. A loader
// of many keys does not see the values that it replaces.
func (t *fetch[K, V]) notModified(err error) bool {
	return t.old != nil && t.member == nil && errors.Is(err, ErrNotModified)
}
