// Package hook calls functions of users that must not take their process down.
package hook

import (
	"context"
	"log/slog"
	"sync"
)

// Guard contains the panics of functions that a user has handed in. A panic on a goroutine of
// this library would end the process.
type Guard struct {
	Logger *slog.Logger
	Owner  slog.Attr // for the log line: whose functions these are
	once   sync.Once
}

// Contain returns f without its panics; nil for nil. The first panic of all functions of a
// Guard is logged.
func Contain[T any](g *Guard, f func(context.Context, T)) func(context.Context, T) {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, t T) {
		defer g.recover(ctx)
		f(ctx, t)
	}
}

// Call calls f, and contains its panic. It reports whether f has returned.
func (g *Guard) Call(ctx context.Context, f func(context.Context)) (returned bool) {
	defer g.recover(ctx)
	f(ctx)
	return true
}

func (g *Guard) recover(ctx context.Context) {
	if p := recover(); p != nil {
		g.once.Do(func() {
			g.Logger.ErrorContext(ctx, "a function of the options panicked; further panics are not logged", g.Owner, "panic", p)
		})
	}
}
