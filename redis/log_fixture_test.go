package redis_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/faultlink"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

const (
	// soon is a bound for what takes milliseconds on a machine that is not busy.
	soon = 30 * time.Second

	// quickLog is a LogTimeout for tests that wait for it, and slack what a busy
	// machine may add to it, without any stall of the process.
	quickLog = time.Second
	slack    = 500 * time.Millisecond

	// noticed is by how much a LogTimeout may be exceeded by a process that is itself
	// busy. Without one an outage is noticed after a client's own timeouts, 3 s and more.
	noticed = 2 * time.Second
)

// instance is one of a fleet: a Cache, on a Store of its own.
type instance struct {
	*cache.Cache[string, string]
	store  *redis.Store
	prefix string
	seen   *logSeen
	marks  *marks
}

// logSeen is what an instance reported of the log.
type logSeen struct {
	mu   sync.Mutex // guards all below
	log  []redis.LogInfo
	at   []time.Time
	told []cache.InvalidatedInfo
	gaps int
	text bytes.Buffer
}

func (s *logSeen) noteLog(_ context.Context, i redis.LogInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log, s.at = append(s.log, i), append(s.at, time.Now())
}

func (s *logSeen) noteTold(_ context.Context, i cache.InvalidatedInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, i)
}

func (s *logSeen) noteGap(context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps++
}

func (s *logSeen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// logs are what the Store reported to Trace.Log.
func (s *logSeen) logs() []redis.LogInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log[:len(s.log):len(s.log)]
}

// lostAt is when the log was first reported to be lost.
func (s *logSeen) lostAt() (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, info := range s.log {
		if !info.Following {
			return s.at[i], true
		}
	}
	return at, false
}

// tolds are what the Cache reported to Trace.Told.
func (s *logSeen) tolds() []cache.InvalidatedInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told[:len(s.told):len(s.told)]
}

// lines counts the lines of the log file with that text.
func (s *logSeen) lines(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), text)
}

// settle makes an instance on a Store, and returns when it follows the log.
func settle(t *testing.T, newStore func(redis.Options) *redis.Store, s redis.Options, o cache.Options[string, string]) *instance {
	t.Helper()
	if s.Timeout == 0 {
		s.Timeout = patient.Timeout
	}
	if s.Prefix == "" {
		s.Prefix = prefix(t)
	}
	seen := &logSeen{}
	s.Trace = &redis.Trace{Log: seen.noteLog}
	s.Logger = slog.New(slog.NewTextHandler(seen, nil))
	o.Trace = &cache.Trace{Invalidated: seen.noteTold, Gap: seen.noteGap}
	store := newStore(s)
	i := &instance{cacheOn(t, store, o), store, s.Prefix, seen, &marks{}}
	followIn(t, store, "marks", i.marks)
	follows(t, store)
	return i
}

// enter is settle for a Store of its own client, at addr.
func enter(t *testing.T, addr string, s redis.Options, o cache.Options[string, string]) *instance {
	t.Helper()
	return settle(t, func(s redis.Options) *redis.Store { return opened(t, addr, s) }, s, o)
}

// enterWith is settle for a Store that borrows client.
func enterWith(t *testing.T, client goredis.UniversalClient, s redis.Options, o cache.Options[string, string]) *instance {
	t.Helper()
	return settle(t, func(s redis.Options) *redis.Store {
		store, err := redis.New(client, s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	}, s, o)
}

// logKey is the Redis key of the instance's log.
func (i *instance) logKey() string { return i.prefix + ":log" }

// hold makes a fill key with value, and wants all others to read it from there, so
// that all have it in their local tiers.
func hold(t *testing.T, key, value string, a *instance, others ...*instance) {
	t.Helper()
	wantLoad(t, a.Cache, key, value)
	for _, b := range others {
		wantGet(t, b.Cache, key, value)
	}
}

// invalidate wants an Invalidate to succeed.
func invalidate(t *testing.T, a *instance, keys ...string) {
	t.Helper()
	if err := a.Invalidate(t.Context(), keys...); err != nil {
		t.Error("Invalidate:", err)
	}
}

// missesSoon waits until the instance misses key.
func missesSoon(t *testing.T, i *instance, key string) {
	t.Helper()
	redistest.Eventually(t, soon, "the instance misses "+key, func() bool {
		_, err := i.Get(t.Context(), key)
		return errors.Is(err, cache.ErrMiss)
	})
}

// misses reads keys for a while, and wants no value.
func misses(t *testing.T, i *instance, keys ...string) {
	t.Helper()
	for range 10 {
		for _, key := range keys {
			if v, err := i.Get(t.Context(), key); !errors.Is(err, cache.ErrMiss) {
				t.Errorf("Get(%q) = %q, %v; want a miss", key, v, err)
				return
			}
		}
		<-time.After(time.Millisecond)
	}
}

// deaf is a follower that does nothing.
type deaf struct{}

func (deaf) Since(remote.Position, bool)               {}
func (deaf) Lost()                                     {}
func (deaf) Invalidated(string, remote.Position, bool) {}
func (deaf) Replaced(string, remote.Position, bool)    {}
func (deaf) Reverted(remote.Position, []string)        {}
func (deaf) Recovered(context.Context)                 {}

// marks follows the entries that mark a place in the log.
type marks struct {
	deaf
	last atomic.Pointer[string]
}

func (m *marks) Invalidated(name string, _ remote.Position, _ bool) { m.last.Store(&name) }

// upToDate appends an entry that concerns no cache, and waits until the instances have
// been told of it, and so of all before. It does so again when the log may have gone
// with the entry.
func upToDate(t *testing.T, server *redistest.Server, instances ...*instance) {
	t.Helper()
	upToDateOn(t, server.Client(), instances...)
}

func upToDateOn(t *testing.T, client goredis.Cmdable, instances ...*instance) {
	t.Helper()
	for _, i := range instances {
		var name string
		var again time.Time
		redistest.Eventually(t, soon, "the instance has read all of the log", func() bool {
			if time.Now().After(again) {
				name = "marks:" + rand.Text()
				again = time.Now().Add(slack)
				i.addOn(t, client, "*", "e", logEntry(name))
			}
			last := i.marks.last.Load()
			return last != nil && *last == name
		})
	}
}

// wantOneLoss wants the log to have been lost once since began, and read again on another
// connection. A Redis that a busy machine keeps from running is silent for a LogTimeout too: if
// the machine was away, a loss by a timeout may come beside the one that is wanted.
func (i *instance) wantOneLoss(t *testing.T, began time.Time, what string) {
	t.Helper()
	redistest.Eventually(t, soon, what+": the log is followed", func() bool { return i.store.Stats().LogFollowing })
	i.seen.mu.Lock()
	logs, at := slices.Clone(i.seen.log), slices.Clone(i.seen.at)
	i.seen.mu.Unlock()
	silences, others := 0, 0
	for n, info := range logs {
		switch {
		case n > 0 && info.Following == logs[n-1].Following || !info.Following && info.Err == nil:
			t.Errorf("%s: report %d is %+v, after %+v", what, n, info, logs[max(n-1, 0)])
		case info.Following || at[n].Before(began):
		case errors.Is(info.Err, os.ErrDeadlineExceeded):
			silences++
		default:
			others++
		}
	}
	if sessions := i.store.Stats().LogSessions; silences+others == 0 || others > 1 || sessions < 2 || silences+others > 1 && calm(t, began, quickLog/8) {
		t.Errorf("%s: the log was lost %d times by silence and %d times otherwise, in %d sessions; want one loss", what, silences, others, sessions)
	}
}

// wantLogGaps wants n gaps, in the Store, in the Cache, and in what they report.
func (i *instance) wantLogGaps(t *testing.T, what string, n int) {
	t.Helper()
	counts := func() []int {
		reported := 0
		for _, info := range i.seen.logs() {
			if info.Gap {
				reported++
			}
		}
		i.seen.mu.Lock()
		defer i.seen.mu.Unlock()
		return []int{int(i.store.Stats().LogGaps), int(i.Stats().Gaps), reported, i.seen.gaps}
	}
	for asked := time.Now(); slices.Min(counts()) < n && time.Since(asked) < 5*time.Second; { // one after the other
		<-time.After(time.Millisecond)
	}
	got := counts()
	for _, g := range got {
		if g != n {
			t.Errorf("%s: gaps counted by Store and Cache, and traced by them: %d; want %d each", what, got, n)
			return
		}
	}
	// The line that ends an outage tells of all gaps in it, a while later.
	redistest.Eventually(t, soon, what+": a line tells of the gaps, if there were any", func() bool {
		lines := i.seen.lines("log entries may have been missed") + i.seen.lines("entries_may_have_been_missed=true") + i.seen.lines("redis has lost log entries")
		return min(n, 1) <= lines && lines <= n
	})
}

// lineTo starts a link to the server.
func lineTo(t *testing.T, server *redistest.Server) *faultlink.Link {
	t.Helper()
	link, err := faultlink.Listen(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() })
	return link
}

// position is the ID of a position.
func position(p remote.Position) string {
	return fmt.Sprintf("%d-%d", p.Time, p.Seq)
}

// logEntry is the entry of names by a Store that is not of this process.
func logEntry(names ...string) string {
	entry := []byte("\x01a stran." + rand.Text()[:8])
	for _, name := range names {
		entry = binary.AppendUvarint(entry, uint64(len(name)))
		entry = append(entry, name...)
	}
	return string(entry)
}

// add appends an entry to the log of instance, as if by another program.
func (i *instance) add(t *testing.T, server *redistest.Server, id string, values ...any) {
	t.Helper()
	i.addOn(t, server.Client(), id, values...)
}

func (i *instance) addOn(t *testing.T, client goredis.Cmdable, id string, values ...any) {
	t.Helper()
	if err := client.XAdd(t.Context(), &goredis.XAddArgs{Stream: i.logKey(), ID: id, Values: values}).Err(); err != nil {
		t.Fatal(err)
	}
}

// del removes keys from the server behind everybody's back.
func del(t *testing.T, server *redistest.Server, keys ...string) {
	t.Helper()
	if err := server.Client().Del(t.Context(), keys...).Err(); err != nil {
		t.Fatal(err)
	}
}
