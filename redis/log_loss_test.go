package redis_test

import (
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// quick are the options of instances that are to notice soon what became of the log.
var quick = redis.Options{LogTimeout: quickLog, ProbeInterval: 10 * time.Millisecond}

// atOnce sends commands that nobody can read anything in between of.
func atOnce(t *testing.T, server *redistest.Server, commands func(goredis.Pipeliner)) {
	t.Helper()
	_, err := server.Client().TxPipelined(t.Context(), func(pipe goredis.Pipeliner) error {
		commands(pipe)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A connection that is sound says nothing of the log that is read on it.
func TestALogThatIsLostWhileItIsReadIsAGap(t *testing.T) {
	t.Parallel()
	// lost invalidates k with an entry that is gone before anybody can read it.
	lost := func(lose func(pipe goredis.Pipeliner, log string)) func(*testing.T, *redistest.Server, *instance) {
		return func(t *testing.T, server *redistest.Server, a *instance) {
			atOnce(t, server, func(pipe goredis.Pipeliner) {
				pipe.Unlink(t.Context(), a.prefix+":c:0:k")
				pipe.XAdd(t.Context(), &goredis.XAddArgs{Stream: a.logKey(), Values: []any{"e", logEntry("c:0:k")}})
				lose(pipe, a.logKey())
			})
		}
	}
	flush := func(t *testing.T, server *redistest.Server) {
		if err := server.Client().FlushAll(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	}
	for name, lose := range map[string]func(*testing.T, *redistest.Server, *instance){
		"flushed": func(t *testing.T, server *redistest.Server, _ *instance) { flush(t, server) },
		"flushed, and begun anew": func(t *testing.T, server *redistest.Server, a *instance) {
			flush(t, server)
			invalidate(t, a, "k")
		},
		"entry, and deleted": lost(func(pipe goredis.Pipeliner, log string) { pipe.Del(t.Context(), log) }),
		"entry, deleted and begun anew": lost(func(pipe goredis.Pipeliner, log string) {
			pipe.Del(t.Context(), log)
			pipe.XAdd(t.Context(), &goredis.XAddArgs{Stream: log, Values: []any{"e", logEntry("c:0:other")}})
		}),
		"entry, and trimmed": lost(func(pipe goredis.Pipeliner, log string) { pipe.XTrimMaxLen(t.Context(), log, 0) }),
		"restarted empty":    func(_ *testing.T, server *redistest.Server, _ *instance) { server.Kill(); server.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			a := enter(t, server.Addr(), quick, cache.Options[string, string]{})
			b := enter(t, server.Addr(), quick, cache.Options[string, string]{})
			hold(t, "k", "old", a, b)
			lose(t, server, a)
			missesSoon(t, b, "k")
			followed(t, a.Cache, b.Cache)
			upToDate(t, server, a, b)
			<-time.After(quickLog) // for another look
			a.wantLogGaps(t, "a", 1)
			b.wantLogGaps(t, "b", 1)
			misses(t, b, "k")
			hold(t, "k", "new", a, b) // and all goes on as before
			invalidate(t, b, "k")
			missesSoon(t, a, "k")
			a.wantLogGaps(t, "a", 1)
			b.wantLogGaps(t, "b", 1)
		})
	}
}

// The last entries were heard of by nobody, and have left only their positions: no entry
// can be appended behind the last that a Store has heard of.
func TestALogThatWasTrimmedToNothingIsReadOn(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := enter(t, server.Addr(), quick, cache.Options[string, string]{})
	wantLoad(t, b.Cache, "k", "old")
	atOnce(t, server, func(pipe goredis.Pipeliner) {
		pipe.Unlink(t.Context(), b.prefix+":c:0:k")
		pipe.XAdd(t.Context(), &goredis.XAddArgs{
			Stream: b.logKey(), ID: position(remote.Position{Time: b.store.Observed("c").Time + 3_600_000}), Values: []any{"e", logEntry("c:0:k")},
		})
		pipe.XTrimMaxLen(t.Context(), b.logKey(), 0)
	})
	redistest.Eventually(t, soon, "the gap is noticed", func() bool {
		s := b.store.Stats()
		return s.LogGaps > 0 || !s.LogFollowing
	})
	redistest.Eventually(t, soon, "the log is read on, though nobody appends to it", func() bool {
		return b.store.Stats().LogFollowing && b.Stats().LogFollowed
	})
	wantMiss(t, b.Cache, "k")
	b.wantLogGaps(t, "b", 1)
}

// What is not a log at all is no end of the reading either.
func TestALogOfAnotherTypeIsReadOnceItIsGone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), quick, cache.Options[string, string]{})
	b := enter(t, server.Addr(), quick, cache.Options[string, string]{})
	hold(t, "k", "old", a, b)
	atOnce(t, server, func(pipe goredis.Pipeliner) {
		pipe.Del(t.Context(), a.logKey())
		pipe.RPush(t.Context(), a.logKey(), "somebody else's")
	})
	if a.Invalidate(t.Context(), "k") == nil {
		t.Error("Invalidate: no error, though nobody can be told")
	}
	redistest.Eventually(t, soon, "the log is lost", func() bool { return !b.store.Stats().LogFollowing })
	del(t, server, a.logKey())
	followed(t, a.Cache, b.Cache)
	upToDate(t, server, a, b)
	misses(t, b, "k")
	b.wantLogGaps(t, "b", 1)
}
