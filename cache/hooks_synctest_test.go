package cache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/local"
)

// Functions of the options that panic harm no call and no work in the background, and are
// logged once.
func TestFunctionsThatPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewServer()
		var lines bytes.Buffer
		var called sync.Map
		boom := func(what string) {
			called.Store(what, true)
			panic("a bug in " + what)
		}
		o := options(nil)
		o.Local = local.Options{MaxEntries: 1}
		o.Logger = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
		o.DeadLetters = func(context.Context, cache.Undelivered) { boom("DeadLetters") }
		o.Trace = &cache.Trace{
			Hit:         func(context.Context, cache.HitInfo) { boom("Hit") },
			Miss:        func(context.Context, cache.MissInfo) { boom("Miss") },
			Load:        func(context.Context, cache.LoadInfo) { boom("Load") },
			Fill:        func(context.Context, cache.FillInfo) { boom("Fill") },
			Wait:        func(context.Context, cache.WaitInfo) { boom("Wait") },
			RemoteError: func(context.Context, cache.RemoteErrorInfo) { boom("RemoteError") },
			Corrupt:     func(context.Context, cache.CorruptInfo) { boom("Corrupt") },
			Invalidate:  func(context.Context, cache.InvalidateInfo) { boom("Invalidate") },
			Invalidated: func(context.Context, cache.InvalidatedInfo) { boom("Invalidated") },
			Gap:         func(context.Context) { boom("Gap") },
			Evict:       func(context.Context, cache.EvictInfo) { boom("Evict") },
		}
		c, other := newInstanceWith(t, s, o), newInstance(t, s)
		wantLoad(t, c, "a", constant("v"), "v") // Miss, Load, Fill
		wantGet(t, c, "a", "v")                 // Hit
		wantLoad(t, c, "b", constant("v"), "v") // Evict
		waited := callFor(t, other, 0, after(time.Second, constant("v")))
		wantLoad(t, c, "k", loading(t), "v") // Wait
		<-waited
		s.Corrupt(remoteKey("c"))
		wantLoad(t, c, "c", constant("v"), "v") // Corrupt
		invalidate(t, other, "c")               // Invalidated
		synctest.Wait()
		wantMiss(t, c, "c")
		c.remote.CutLog()
		invalidate(t, other, "c")
		s.TrimLog()
		c.remote.MendLog() // Gap
		synctest.Wait()
		c.remote.Inject(func(string) cachetest.Fault { return cachetest.Fault{Err: errSource} })
		wantLoad(t, c, "d", constant("v"), "v") // RemoteError
		_ = c.Invalidate(t.Context(), "d")      // Invalidate
		var left *cache.Undelivered
		if err := c.Close(); !errors.As(err, &left) { // DeadLetters has not taken them
			t.Errorf("Close: %v", err)
		}
		n := 0
		called.Range(func(any, any) bool { n++; return true })
		if n != 12 {
			t.Errorf("%d functions were called, of 12", n)
		}
		if n := strings.Count(lines.String(), "panicked"); n != 1 {
			t.Errorf("%d lines: %s", n, lines.String())
		}
	})
}
