package redis_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// A connection that is back is used at once, however long there was none.
func TestALogThatIsBackIsReadAgainSoon(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, link.Addr(), quick, cache.Options[string, string]{})
	for _, outage := range []time.Duration{time.Second, 2 * time.Second, 10 * time.Second} {
		hold(t, "k", "old", a, b)
		link.Cut()
		redistest.Eventually(t, soon, "the outage is noticed", func() bool { return !b.Stats().LogFollowed })
		<-time.After(outage)
		invalidate(t, a, "k")
		link.Restore()
		began := time.Now()
		missesSoon(t, b, "k")
		within(t, began, slack, "to read the log again when the link was back")
	}
	b.wantLogGaps(t, "b", 0)
}

// A log may lose the entry that a Store has appended last, and not the one that it was
// told last: then nothing was missed, and what is appended next must still come behind
// all that the Store has heard of.
func TestALogThatLostOnlyWhatWasNotToldIsLifted(t *testing.T) {
	t.Parallel()
	for range 10 {
		if lostOnlyWhatWasNotTold(t) {
			return
		}
	}
	t.Fatal("the reader of the log was told each time, on another connection than that of the link")
}

// lostOnlyWhatWasNotTold reports false if the Store was told after all: the machine stood still,
// so that the reader of the log made another connection.
func lostOnlyWhatWasNotTold(t *testing.T) bool {
	server := redistest.Start(t)
	link := lineTo(t, server)
	a := tagged(t, server)
	b := enterByTwoWays(t, server, link, quick, cache.Options[string, string]{Tags: tagsOf})
	upToDate(t, server, a, b)
	told := b.store.Observed("c")
	hold(t, "kept", "kept|u", a, b)
	hasRecords(t, server, a, "u")
	upToDate(t, server, a, b)
	if err := errors.Join(a.Close(), a.store.Close()); err != nil { // or it would lift the log
		t.Fatal(err)
	}
	link.Drop() // from now on b appends, and is not told
	client := server.Client()
	entries, err := client.XRange(t.Context(), a.logKey(), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	later := remote.Position{Time: told.Time + 3_600_000}
	b.add(t, server, position(later), "e", logEntry()) // the clock of a server is an hour ahead
	if err := b.store.Announce(t.Context(), "c:0:lost"); err != nil {
		t.Fatal(err)
	}
	heard := b.store.Observed("c")
	if !later.Before(heard) {
		t.Fatalf("the Store has heard of %v, and appended behind %v", heard, later)
	}
	atOnce(t, server, func(pipe goredis.Pipeliner) { // another server takes over, which lacks it
		pipe.Del(t.Context(), a.logKey())
		for _, e := range entries {
			pipe.XAdd(t.Context(), &goredis.XAddArgs{Stream: a.logKey(), ID: e.ID, Values: e.Values})
		}
	})
	if at, _ := b.store.Delivered("c"); !at.Before(later) {
		return false
	}
	link.Restore()
	redistest.Eventually(t, soon, "the log is lifted", func() bool {
		end, err := b.store.End(t.Context(), "c")
		return err == nil && heard.Before(end)
	})
	upToDate(t, server, b)
	b.wantLogGaps(t, "b", 0)
	hold(t, "k", "old|t", b)
	invalidateTags(t, tagged(t, server), "t")
	missesSoon(t, b, "k")
	misses(t, tagged(t, server), "k")
	return true
}

// slowFollower notes what it is told. Its first Since takes until go is closed.
type slowFollower struct {
	deaf
	entered, proceed chan struct{}
	once             sync.Once

	mu   sync.Mutex // guards told
	told []string
}

func (f *slowFollower) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, what)
}

func (f *slowFollower) Since(remote.Position, bool) {
	f.once.Do(func() {
		close(f.entered)
		<-f.proceed
	})
	f.note("since")
}

func (f *slowFollower) Lost() { f.note("lost") }

func (f *slowFollower) Invalidated(string, remote.Position, bool) { f.note("invalidated") }

// A follower that is new hears of the log from Follow, all others from its reader. If the
// connection ends between, "lost" must not come first: the follower would rely on a log
// that nobody reads.
func TestANewFollowerIsNotToldOfTheLogAfterItIsLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	b := enter(t, link.Addr(), quick, cache.Options[string, string]{})
	f := &slowFollower{entered: make(chan struct{}), proceed: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		stop, err := b.store.Follow("new", f)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(stop)
	}()
	<-f.entered
	link.Cut()
	<-time.After(slack) // long enough for it to be noticed
	close(f.proceed)
	<-done
	redistest.Eventually(t, soon, "the outage is noticed", func() bool { return !b.Stats().LogFollowed })
	f.mu.Lock()
	defer f.mu.Unlock()
	if want := []string{"since", "lost"}; !slices.Equal(f.told, want) {
		t.Errorf("the follower was told %v, want %v", f.told, want)
	}
}

// A log that moves to another node of a Cluster is read there at once, whatever the client
// still takes for the slots: it may be slow to look, or ask a node that does not know yet.
func TestALogThatMovesIsReadWhereItsNodeSays(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	//lint:ignore SA1019 CLUSTER SHARDS, which replaces CLUSTER SLOTS, is not in Redis 6
	slots, err := cluster.Nodes()[0].Client().ClusterSlots(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	fixed := goredis.NewClusterClient(&goredis.ClusterOptions{
		ClusterSlots: func(context.Context) ([]goredis.ClusterSlot, error) { return slots, nil },
	})
	other := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()})
	t.Cleanup(func() { _ = errors.Join(fixed.Close(), other.Close()) })
	a := enterWith(t, other, redis.Options{}, cache.Options[string, string]{})
	b := enterWith(t, fixed, redis.Options{Timeout: time.Second}, cache.Options[string, string]{})
	for _, to := range cluster.Nodes() {
		hold(t, "k", "old", a, b)
		cluster.MoveSlot(a.logKey(), to)
		invalidate(t, a, "k")
		began := time.Now()
		missesSoon(t, b, "k")
		within(t, began, redis.DefaultLogTimeout/4+slack, "to read the log where it is")
	}
	b.wantLogGaps(t, "b", 0)
}

// A Store that says that its log is followed has told every follower since when: a cache
// drops its local tier then, and not later.
func TestTheLogIsFollowedWhenEveryFollowerIsTold(t *testing.T) {
	t.Parallel()
	store := open(t, redistest.Start(t).URL(), redis.Options{Timeout: patient.Timeout, Prefix: prefix(t)})
	f := &slowFollower{entered: make(chan struct{}), proceed: make(chan struct{})}
	followIn(t, store, "c", f)
	<-f.entered
	if store.Stats().LogFollowing {
		t.Error("the log is followed while a follower is being told")
	}
	close(f.proceed)
	follows(t, store)
}
