package redis_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// versioned is a value with a version, and the tag red.
func versioned(n int64) string { return strconv.FormatInt(n, 10) + "|red" }

func versionOf(t *testing.T, value string) int64 {
	t.Helper()
	text, _, _ := strings.Cut(value, "|")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Errorf("a value %q", value)
	}
	return n
}

// stuck is a follower that holds up the reader of the log.
type stuck struct {
	deaf
	is    sync.Once
	began chan struct{} // closed when the reader stands still
	end   chan struct{} // lets it go on
}

func (s *stuck) Replaced(name string, at remote.Position, own bool) { s.Invalidated(name, at, own) }

func (s *stuck) Invalidated(string, remote.Position, bool) {
	s.is.Do(func() { close(s.began) })
	<-s.end
}

// followIn makes f follow the log of a cache until the test ends.
func followIn(t *testing.T, store *redis.Store, name string, f remote.Follower) {
	t.Helper()
	stop, err := store.Follow(name, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}

// stop makes the reader of i's log stand still until the test ends.
func stop(t *testing.T, i *instance) {
	t.Helper()
	s := &stuck{began: make(chan struct{}), end: make(chan struct{})}
	followIn(t, i.store, "stuck", s)
	t.Cleanup(func() { close(s.end) })
	if err := i.store.Announce(t.Context(), "stuck:0:k"); err != nil {
		t.Fatal(err)
	}
	<-s.began
}

// TestRemoteOnlySeesWhatWasInvalidated: a read that begins after another instance's
// Invalidate has returned finds nothing that was loaded before, be it by its key, by a tag or
// with the whole cache, and be the reader of the log slow or stuck.
func TestRemoteOnlySeesWhatWasInvalidated(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]bool{"told": false, "not told": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := redis.Options{Prefix: prefix(t)}
			o := cache.Options[string, string]{RemoteOnly: true, Tags: tagsOf}
			writer := enter(t, server.Addr(), s, o)
			rounds := int64(300)
			if hold {
				rounds, s.Timeout = 30, time.Second // of which a read waits an eighth for the reader
			}
			reader := enter(t, server.Addr(), s, o)
			if hold {
				stop(t, reader)
			}
			var source, acknowledged atomic.Int64
			load := func(context.Context, string) (string, error) { return versioned(source.Load()), nil }
			read := func(i *instance) {
				atLeast := acknowledged.Load()
				v, err := i.GetOrLoad(t.Context(), "k", load)
				if err != nil {
					t.Error(err)
				} else if n := versionOf(t, v); n < atLeast {
					t.Errorf("version %d after %d was acknowledged", n, atLeast)
				}
			}
			over := make(chan struct{})
			var readers sync.WaitGroup
			for n := range 4 {
				readers.Go(func() {
					for {
						select {
						case <-over:
							return
						default:
							read([]*instance{reader, writer}[n%2])
						}
					}
				})
			}
			for n := range rounds {
				source.Add(1)
				var err error
				switch n % 3 {
				case 0:
					err = writer.Invalidate(t.Context(), "k")
				case 1:
					err = writer.InvalidateTags(t.Context(), "red")
				default:
					err = writer.InvalidateAll(t.Context())
				}
				if err != nil {
					t.Error(err)
					break
				}
				acknowledged.Store(source.Load())
				read(reader)
			}
			close(over)
			readers.Wait()
			if n := reader.Stats().RemoteHits + writer.Stats().RemoteHits; n == 0 {
				t.Error("nothing was served from Redis")
			}
		})
	}
}

// TestAMarkIsNoProofOfALogThatIsGone: Redis evicts the log, or its mark, or nothing, before
// the reader has been told of an invalidation. The last read before it knew the mark.
func TestAMarkIsNoProofOfALogThatIsGone(t *testing.T) {
	for _, gone := range []string{"log", "mark", "nothing"} {
		t.Run(gone, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := redis.Options{Prefix: prefix(t)}
			o := cache.Options[string, string]{RemoteOnly: true, Tags: tagsOf}
			a := enter(t, server.Addr(), s, o)
			s.Timeout = time.Second // of which a read waits an eighth for the reader
			b := enter(t, server.Addr(), s, o)
			wantLoad(t, a.Cache, "k", "old|red")
			recordsInTheEnd(t, server, a, "red")
			wantGet(t, b.Cache, "k", "old|red")
			<-time.After(300 * time.Millisecond) // the log is no longer busy, and the mark alone is read
			for range 3 {
				wantGet(t, b.Cache, "k", "old|red")
			}
			stop(t, b)
			invalidateTags(t, a, "red")
			if gone != "nothing" {
				del(t, server, map[string]string{"log": b.logKey(), "mark": b.logKey() + ":mark:{" + b.logKey() + "}"}[gone])
			}
			wantMiss(t, b.Cache, "k")
		})
	}
}

// Reads that share a round trip wait for the reader of the log once, and together.
func TestJoinedReadsWaitForTheReaderOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := redis.Options{Prefix: prefix(t), Timeout: 2 * time.Second} // of which a read waits an eighth
	i := enter(t, server.Addr(), s, cache.Options[string, string]{RemoteOnly: true})
	for n := range 64 {
		wantLoad(t, i.Cache, strconv.Itoa(n), "v")
	}
	stop(t, i)
	invalidate(t, i, "other")
	start := time.Now()
	var reading sync.WaitGroup
	for n := range 64 {
		reading.Go(func() {
			if rec, err := i.store.Get(t.Context(), "c:0:"+strconv.Itoa(n), true); err != nil || rec.Complete {
				t.Errorf("Get: complete %v, %v", rec.Complete, err)
			}
		})
	}
	reading.Wait()
	if took := took(start); took > 2*s.Timeout {
		t.Errorf("64 reads took %v", took)
	}
}

// The lifetime that a client gives its connections is not for that of the log, whose end
// is an outage.
func TestTheLogOutlivesTheLifetimeOfConnections(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := redis.Options{Prefix: prefix(t), LogTimeout: time.Minute} // which no stall of the machine ends
	i := enter(t, server.Addr()+"/0?conn_max_lifetime=50ms", s, cache.Options[string, string]{})
	before := i.store.Stats().LogEntries
	for range 10 {
		<-time.After(50 * time.Millisecond)
		invalidate(t, i, "k")
	}
	redistest.Eventually(t, soon, "the entries are read", func() bool { return i.store.Stats().LogEntries >= before+10 })
	if n := i.store.Stats().LogSessions; n != 1 {
		t.Errorf("the log was read on %d connections", n)
	}
}
