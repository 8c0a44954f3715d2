package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/local"
)

// remoteFailed counts and reports a failure of the remote tier.
func (c *Cache[K, V]) remoteFailed(ctx context.Context, op string, err error) {
	switch {
	case errors.Is(err, remote.ErrUnavailable):
		c.counters.remoteUnavailable.Add(1)
	case errors.Is(err, context.DeadlineExceeded):
		c.counters.remoteTimeouts.Add(1)
	default:
		c.counters.remoteErrors.Add(1)
	}
	if c.opts.Logger.Enabled(ctx, slog.LevelDebug) { // in an outage this is a part of every call
		c.opts.Logger.DebugContext(ctx, "remote tier failed", "cache", c.opts.Name, "op", op, "error", err)
	}
	if c.opts.Trace.RemoteError != nil {
		c.opts.Trace.RemoteError(ctx, RemoteErrorInfo{Op: op, Err: err})
	}
}

// traceInvalidate reports an invalidation of names by this instance.
func (c *Cache[K, V]) traceInvalidate(ctx context.Context, names []string, late bool, err error) {
	if c.opts.Trace.Invalidate != nil {
		u := c.undelivered(names)
		c.opts.Trace.Invalidate(context.WithoutCancel(ctx), InvalidateInfo{Keys: u.Keys, Tags: u.Tags, All: u.All, Late: late, Err: err})
	}
}

// corrupt counts and reports a record that the remote tier cannot read, with its reason.
func (c *Cache[K, V]) corrupt(ctx context.Context, key K, reason error) {
	c.unreadable(ctx, key, reason, reason)
}

// undecodable counts and reports a value that its codec cannot decode. The Logger receives
// only the type of the codec's error, because the error may quote the value.
func (c *Cache[K, V]) undecodable(ctx context.Context, key K, err error) {
	c.unreadable(ctx, key, err, fmt.Sprintf("%T", err))
}

func (c *Cache[K, V]) unreadable(ctx context.Context, key K, reason error, logged any) {
	c.counters.corruptRecords.Add(1)
	c.opts.Logger.WarnContext(ctx, "unreadable record in the remote tier", "cache", c.opts.Name, "error", logged)
	if c.opts.Trace.Corrupt != nil {
		c.opts.Trace.Corrupt(ctx, CorruptInfo{Key: c.opts.Key(key), Err: reason})
	}
}

// warned are the lines that are logged once per cache, because they may recur with each load.
type warned struct{ tags, encode sync.Once }

// unencodable counts and traces a value that its codec cannot encode, and logs the first such
// value. The Logger receives only the type of the codec's error.
func (c *Cache[K, V]) unencodable(ctx context.Context, key K, err error) {
	c.counters.encodeErrors.Add(1)
	c.warned.encode.Do(func() {
		c.opts.Logger.WarnContext(ctx, "a value is not stored because it does not encode; others are counted in Stats.EncodeErrors",
			"cache", c.opts.Name, "error", fmt.Sprintf("%T", err))
	})
	if c.opts.Trace.Fill != nil {
		c.opts.Trace.Fill(ctx, FillInfo{Key: c.opts.Key(key), Outcome: FillFailed, Err: err})
	}
}

func (c *Cache[K, V]) traceEvicted(ctx context.Context, evicted []local.Evicted[K, *entry[V]]) {
	if c.opts.Trace.Evict == nil {
		return
	}
	for _, e := range evicted {
		c.opts.Trace.Evict(ctx, EvictInfo{Key: c.opts.Key(e.Key)})
	}
}
