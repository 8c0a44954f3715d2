package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// commands are the calls that server got since ResetCommands, without those of package
// redistest itself, those by which the log is written and read, and those that set up a
// connection: a pool may dial one more on a busy machine.
func commands(server *redistest.Server) map[string]int64 {
	calls := server.Commands()
	for _, name := range []string{"info", "config|resetstat", "hello", "client|setinfo", "xadd", "pexpire", "xread", "xrange", "xrevrange", "xlen"} {
		delete(calls, name)
	}
	return calls
}

func TestThousandCallersOfAColdLocalTierCostOneGet(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := join(t, server, redis.Options{}, cache.Options[string, string]{})
	b := join(t, server, redis.Options{LogTimeout: time.Minute}, cache.Options[string, string]{}) // longer than the pause
	wantLoad(t, a, "k", "v")
	wantMiss(t, b, "other") // b is connected from here on
	idle(t, a, b)
	server.ResetCommands()
	server.Pause() // so that nobody is answered before everybody has asked
	var done sync.WaitGroup
	for range 1000 {
		done.Go(func() {
			v, err := b.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
				return "", errors.New("loaded although Redis has the value")
			})
			if err != nil || v != "v" {
				t.Errorf("GetOrLoad = %q, %v", v, err)
			}
		})
	}
	joined(t, 1000)
	server.Resume()
	done.Wait()
	if got := commands(server); got["get"] != 1 || got["pttl"] != 1 || len(got) != 2 {
		t.Errorf("commands %v, want one GET and one PTTL", got)
	}
	if s := b.Stats(); s.RemoteHits != 1000 {
		t.Errorf("%d remote and %d local hits, want 1000 remote ones, of one flight", s.RemoteHits, s.LocalHits)
	}
}

func TestLocalHitSendsNoCommand(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	filler := join(t, server, redis.Options{}, cache.Options[string, string]{})
	reader := join(t, server, redis.Options{}, cache.Options[string, string]{})
	wantLoad(t, filler, "k", "v")
	wantGet(t, reader, "k", "v")
	idle(t, filler, reader)
	server.ResetCommands()
	for range 100 {
		wantGet(t, filler, "k", "v")
		wantGet(t, reader, "k", "v")
		if v, err := reader.GetOrLoad(t.Context(), "k", yields[string]("new")); err != nil || v != "v" {
			t.Fatalf("GetOrLoad = %q, %v", v, err)
		}
	}
	idle(t, filler, reader)
	if got := commands(server); len(got) != 0 {
		t.Errorf("local hits sent %v", got)
	}
}

func TestLocalCopyEndsWithItsRecord(t *testing.T) {
	t.Parallel()
	const left = 3 * time.Second
	server := redistest.Start(t)
	o := cache.Options[string, string]{FixedTTL: true, Local: local.Options{TTL: time.Hour}}
	a, b := join(t, server, redis.Options{}, o), join(t, server, redis.Options{}, o)
	wantLoad(t, a, "k", "v")
	if err := server.Client().PExpire(t.Context(), record(t, "k"), left).Err(); err != nil {
		t.Fatal(err)
	}
	wantGet(t, b, "k", "v")
	wantGet(t, b, "k", "v")
	if s := b.Stats(); s.RemoteHits != 1 || s.LocalHits != 1 {
		t.Errorf("%d remote and %d local hits, want one of each", s.RemoteHits, s.LocalHits)
	}
	redistest.Eventually(t, 10*left, "the record goes", func() bool {
		return server.Client().Exists(t.Context(), record(t, "k")).Val() == 0
	})
	wantMiss(t, b, "k")
}

// turnConn counts how often the client turned from reading to writing commands about a record,
// which is how many round trips they took. Other commands, such as those of the log, come at
// any time.
type turnConn struct {
	net.Conn
	record   []byte
	turns    *atomic.Int32
	speaking atomic.Bool
}

func (c *turnConn) Write(b []byte) (int, error) {
	if c.speaking.CompareAndSwap(false, true) && bytes.Contains(b, c.record) {
		c.turns.Add(1)
	}
	return c.Conn.Write(b)
}

func (c *turnConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.speaking.Store(false)
	return n, err
}

func TestRemoteHitIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var turns atomic.Int32
	key := []byte(record(t, "k"))
	client := goredis.NewClient(&goredis.Options{Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", server.Addr())
		return &turnConn{Conn: conn, record: key, turns: &turns}, err
	}})
	defer client.Close()
	s, err := redis.New(client, redis.Options{Timeout: patient.Timeout, Prefix: prefix(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := cacheOn(t, s, cache.Options[string, string]{})
	follows(t, s)
	wantLoad(t, join(t, server, redis.Options{}, cache.Options[string, string]{}), "k", "v")
	wantMiss(t, b, "other") // b is connected from here on
	idle(t, b)
	server.ResetCommands()
	turns.Store(0)
	if v, err := b.GetOrLoad(t.Context(), "k", yields[string]("new")); err != nil || v != "v" {
		t.Errorf("GetOrLoad = %q, %v", v, err)
	}
	if got := commands(server); got["get"] != 1 || got["pttl"] != 1 || len(got) != 2 {
		t.Errorf("commands %v, want one GET and one PTTL", got)
	}
	if n := turns.Load(); n != 1 {
		t.Errorf("%d round trips, want 1", n)
	}
}

func TestDamagedRecordIsAMissThatIsCountedAndRepaired(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	type damage func(ctx context.Context, key string, b []byte) error
	set := func(change func(b []byte) []byte) damage {
		return func(ctx context.Context, key string, b []byte) error {
			return client.Set(ctx, key, change(slices.Clone(b)), time.Hour).Err()
		}
	}
	cases := map[string]damage{
		"foreign": set(func([]byte) []byte { return []byte(`{"name":"somebody else's"}`) }),
		"empty":   set(func([]byte) []byte { return nil }),
		"longer":  set(func(b []byte) []byte { return append(b, 0) }),
		"no TTL":  func(ctx context.Context, key string, _ []byte) error { return client.Persist(ctx, key).Err() },
		"a list": func(ctx context.Context, key string, _ []byte) error {
			return errors.Join(client.Del(ctx, key).Err(), client.RPush(ctx, key, "v").Err())
		},
		"another key's, restored": func(ctx context.Context, key string, b []byte) error {
			dump, err := client.Dump(ctx, record(t, "another")).Result()
			return errors.Join(err, client.RestoreReplace(ctx, key, time.Hour, dump).Err())
		},
		"another key's, set": func(ctx context.Context, key string, _ []byte) error {
			b, err := client.Get(ctx, record(t, "another")).Bytes()
			return errors.Join(err, client.Set(ctx, key, b, time.Hour).Err())
		},
	}
	for _, version := range []byte{0, 1, 3, 31, 32, 255} { // older, newer, and what cannot be one
		cases[fmt.Sprint("version ", version)] = set(func(b []byte) []byte { b[1] = version; return b })
	}
	filler := join(t, server, redis.Options{}, cache.Options[string, string]{})
	wantLoad(t, filler, "another", "another")
	real, err := client.Get(t.Context(), record(t, "another")).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for n := range real {
		cases[fmt.Sprint("cut to ", n)] = set(func(b []byte) []byte { return b[:n] })
		for bit := range 8 {
			cases[fmt.Sprintf("byte %d bit %d", n, bit)] = set(func(b []byte) []byte { b[n] ^= 1 << bit; return b })
		}
	}
	reader := join(t, server, redis.Options{}, cache.Options[string, string]{})
	later := join(t, server, redis.Options{}, cache.Options[string, string]{})
	for key, damage := range cases {
		wantLoad(t, filler, key, "another") // as long as real
		b, err := client.Get(t.Context(), record(t, key)).Bytes()
		if err = errors.Join(err, damage(t.Context(), record(t, key), b)); err != nil {
			t.Fatal(err)
		}
		before := reader.Stats().CorruptRecords
		wantMiss(t, reader, key)
		wantLoad(t, reader, key, "new")
		if n := reader.Stats().CorruptRecords - before; n != 2 {
			t.Errorf("%s: two calls counted %d unreadable records", key, n)
		}
		wantGet(t, later, key, "new")
	}
	if s := later.Stats(); s.CorruptRecords != 0 || s.RemoteHits != uint64(len(cases)) {
		t.Errorf("after the repair: %d hits of %d, %d unreadable", s.RemoteHits, len(cases), s.CorruptRecords)
	}
}

func TestBytesThatTheCodecRefusesAreAMissThatIsRepaired(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	store := func() *redis.Store { return open(t, server.URL(), patient) }
	text := cacheOn(t, store(), cache.Options[string, string]{})
	numbers := cacheOn(t, store(), cache.Options[string, int]{}) // the same name and schema, by mistake
	wantLoad(t, text, "k", "no number")
	wantLoad(t, numbers, "k", 7)
	if n := numbers.Stats().CorruptRecords; n != 1 {
		t.Errorf("%d unreadable records, want 1", n)
	}
	wantGet(t, cacheOn(t, store(), cache.Options[string, int]{}), "k", 7)
}

// serves waits until the caches can be invalidated, and read Redis.
func serves(t *testing.T, caches ...*cache.Cache[string, string]) {
	t.Helper()
	for _, c := range caches {
		redistest.Eventually(t, soon, "Redis serves again", func() bool {
			if c.Invalidate(t.Context(), "unused") != nil {
				return false
			}
			before := c.Stats()
			wantMiss(t, c, "unused") // asks Redis, because nothing is queued
			after := c.Stats()
			return after.RemoteUnavailable == before.RemoteUnavailable &&
				after.RemoteErrors == before.RemoteErrors && after.RemoteTimeouts == before.RemoteTimeouts
		})
	}
}

func TestRedisThatLostEverythingIsServedOn(t *testing.T) {
	t.Parallel()
	keys := []string{"1", "2", "3"}
	for name, lose := range map[string]func(*testing.T, *redistest.Server){
		"restart": func(_ *testing.T, s *redistest.Server) { s.Kill(); s.Restart() },
		"scripts": func(t *testing.T, s *redistest.Server) {
			if err := s.Client().ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			var failed atomic.Int32
			o := cache.Options[string, string]{Trace: &cache.Trace{RemoteError: func(_ context.Context, i cache.RemoteErrorInfo) {
				if i.Op != "record tags" { // in the background, which may meet the loss itself
					failed.Add(1)
				}
			}}}
			a, b := join(t, server, redis.Options{}, o), join(t, server, redis.Options{}, o)
			lose := func() {
				gapsOfA, gapsOfB := a.Stats().Gaps, b.Stats().Gaps
				lose(t, server)
				if name == "restart" { // it may have been noticed that nobody listened
					serves(t, a, b)
					// The loss of the log has them invalidate again what it had.
					redistest.Eventually(t, soon, "both have noticed the loss", func() bool {
						a, b := a.Stats(), b.Stats()
						return a.Gaps > gapsOfA && b.Gaps > gapsOfB && a.Unconfirmed+b.Unconfirmed == 0
					})
					failed.Store(0)
				}
			}
			lossThenInvalidate := func(keys ...string) {
				lose()
				if err := a.Invalidate(t.Context(), keys...); err != nil {
					t.Error("Invalidate:", err)
				}
			}
			for i := range 3 {
				for _, k := range keys {
					wantLoad(t, a, k, fmt.Sprint("round ", i))
				}
				lossThenInvalidate(keys[:i+1]...) // one key, and several
				if err := errors.Join(b.Invalidate(t.Context(), keys...), a.Invalidate(t.Context(), keys...)); err != nil {
					t.Error("Invalidate:", err)
				}
				lose()
				followed(t, a, b) // or b could not tell whether a value is right, whose tags are lost
				wantLoad(t, a, "k", fmt.Sprint("loaded ", i))
				wantGet(t, b, "k", fmt.Sprint("loaded ", i))
				lose()
				if err := a.Set(t.Context(), "k", "set"); err != nil {
					t.Error("Set:", err)
				}
				if err := errors.Join(a.Invalidate(t.Context(), "k"), b.Invalidate(t.Context(), "k")); err != nil {
					t.Error("Invalidate:", err)
				}
			}
			for _, c := range []*cache.Cache[string, string]{a, b} {
				if s := c.Stats(); failed.Load() != 0 || s.RefusedFills != 0 {
					t.Errorf("something failed: %+v", s)
				}
			}
		})
	}
}
