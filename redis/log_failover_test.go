package redis_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// pair is a primary and its replica, behind one name, as a failover client or a DNS
// name has them.
type pair struct {
	primary, replica *redistest.Server
	current          atomic.Pointer[redistest.Server]
	away             atomic.Bool // nobody can connect through far
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{primary: redistest.Start(t)}
	p.replica = redistest.StartReplica(t, p.primary)
	p.current.Store(p.primary)
	return p
}

var errAway = errors.New("away")

// enter adds an instance, a far one if it is to be kept from connecting.
func (p *pair) enter(t *testing.T, far bool) *instance {
	t.Helper()
	return p.enterWith(t, far, cache.Options[string, string]{Tags: tagsOf})
}

func (p *pair) enterWith(t *testing.T, far bool, o cache.Options[string, string]) *instance {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if far && p.away.Load() {
			return nil, errAway
		}
		return new(net.Dialer).DialContext(ctx, "tcp", p.current.Load().Addr())
	}})
	t.Cleanup(func() { _ = client.Close() })
	return enterWith(t, client, quick, o)
}

// detach makes the replica miss all that comes.
func (p *pair) detach(t *testing.T) {
	t.Helper()
	if err := p.replica.Client().ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
}

// promote makes the replica the primary.
func (p *pair) promote() {
	p.current.Store(p.replica)
	p.primary.Kill()
}

// replicated waits until the replica has the log as far as the instance has heard of it.
func (p *pair) replicated(t *testing.T, i *instance) {
	t.Helper()
	redistest.Eventually(t, soon, "the replica has the log", func() bool {
		id := position(i.store.Observed("c"))
		found, err := p.replica.Client().XRange(t.Context(), i.logKey(), id, id).Result()
		return err == nil && len(found) == 1
	})
}

func TestAFailoverThatLosesEntriesIsAGap(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	a, b := p.enter(t, false), p.enter(t, false)
	hold(t, "k", "old", a, b)
	hold(t, "lost", "v", a, b)
	p.replicated(t, a)
	redistest.Eventually(t, soon, "the replica has the values", func() bool {
		return p.replica.Client().Exists(t.Context(), a.prefix+":c:0:k", a.prefix+":c:0:lost").Val() == 2
	})
	p.detach(t)
	invalidate(t, a, "lost")
	missesSoon(t, b, "lost")
	before := b.store.Observed("c")
	p.promote()
	followed(t, a.Cache, b.Cache)
	upToDate(t, p.replica, a, b)
	b.wantLogGaps(t, "b", 1)
	if now := b.store.Observed("c"); !before.Before(now) {
		t.Errorf("the log goes on at %v, and was at %v", now, before)
	}
	wantGet(t, b.Cache, "k", "old") // from Redis: it is right
	invalidate(t, a, "k")
	missesSoon(t, b, "k")
	misses(t, b, "k")
	b.wantLogGaps(t, "b", 1)
}

// The primary's clock was ahead of the replica's, so that the promoted replica gives
// the next entry the position of one that it has never got.
//
//  1. The primary appends an entry. The far instance reads it. The replica does not get it.
//  2. The replica is promoted. It appends another entry, of k, at the same position.
//  3. The far instance connects. The position that it was told last is in the log.
func TestAnotherEntryAtTheSamePositionIsAGap(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"of another key": "other", "of the same key": "k"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			a, far := p.enter(t, false), p.enter(t, true)
			a.add(t, p.primary, "9999999999999-0", "e", logEntry()) // its clock is ahead
			upToDate(t, p.primary, a, far)
			p.replicated(t, far)
			p.detach(t)
			invalidate(t, a, key)
			lost := a.store.Observed("c")
			redistest.Eventually(t, soon, "the far instance is told", func() bool { return far.store.Observed("c") == lost })
			hold(t, "k", "old", a, far)
			p.away.Store(true)
			// The record of k went to the primary alone, and an Invalidate of it is one entry.
			a.addOn(t, p.replica.Client(), "*", "e", logEntry("c:0:k"))
			same, err := p.replica.Client().XRange(t.Context(), a.logKey(), position(lost), position(lost)).Result()
			if err != nil || len(same) != 1 {
				t.Fatalf("the replica has no entry at %v: %v, %v", lost, same, err)
			}
			p.promote()
			p.away.Store(false)
			followed(t, far.Cache)
			upToDate(t, p.replica, far)
			misses(t, far, "k")
		})
	}
}

// A log that was lost begins behind all that anybody has heard of, also if the clock of
// the server that has it now is an hour behind, as here: stamps are compared.
func TestALogThatBeginsAnewIsLifted(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := tagged(t, server), tagged(t, server)
	far := remote.Position{Time: a.store.Observed("c").Time + 3_600_000, Seq: 7}
	a.add(t, server, position(far), "e", logEntry())
	upToDate(t, server, a, b)
	hold(t, "k", "old|t", a, b)
	hasRecords(t, server, a, "t")
	del(t, server, a.logKey())
	c := tagged(t, server) // has heard of nothing, and begins the log at Redis' time
	for _, i := range []*instance{a, b} {
		redistest.Eventually(t, soon, "the gap is found", func() bool { return i.store.Stats().LogGaps > 0 })
	}
	upToDate(t, server, a, b, c)
	if at := c.store.Observed("c"); !far.Before(at) {
		t.Errorf("the log is at %v, and was at %v", at, far)
	}
	invalidateTags(t, c, "t")
	for _, i := range []*instance{c, a, b, tagged(t, server)} {
		missesSoon(t, i, "k")
	}
}

// Between the loss of the log and its lift entries get positions that are before those
// of what is to be invalidated. Nobody must take them for old ones.
func TestWhatIsInvalidatedBeforeALostLogIsLiftedIsAMiss(t *testing.T) {
	t.Parallel()
	for name, invalidate := range map[string]func(*testing.T, *instance){
		"a tag":           func(t *testing.T, a *instance) { invalidateTags(t, a, "t") },
		"the whole cache": func(t *testing.T, a *instance) { invalidateAll(t, a) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			// It does not notice soon that the log was lost.
			a := enter(t, server.Addr(), redis.Options{LogTimeout: soon}, cache.Options[string, string]{Tags: tagsOf})
			b := enter(t, server.Addr(), quick, cache.Options[string, string]{Tags: tagsOf})
			a.add(t, server, position(remote.Position{Time: a.store.Observed("c").Time + 3_600_000}), "e", logEntry())
			upToDate(t, server, a, b)
			hold(t, "k", "old|t", a, b)
			hasRecords(t, server, a, "t")
			del(t, server, a.logKey())
			invalidate(t, a)
			misses(t, a, "k")
			wantMiss(t, tagged(t, server).Cache, "k")
			missesSoon(t, b, "k")
			misses(t, b, "k")
		})
	}
}
