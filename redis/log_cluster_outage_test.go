package redis_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// checkClose closes Stores that read the log of a Cluster, also of a node that hangs.
func (c *onCluster) checkClose(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		i := c.enter(t, redis.Options{LogTimeout: time.Minute}, cache.Options[string, string]{})
		if node := c.Node(i.logKey()); hangs {
			node.Pause()
			defer node.Resume()
		}
		start := time.Now()
		if err := errors.Join(i.Close(), i.store.Close()); err != nil {
			t.Error(err)
		}
		within(t, start, closesAtOnce, "Close")
	}
}

// checkNodeDies kills the node of the log, and brings it back empty. The keys of the
// others are served, invalidations of them fail meanwhile, because nobody can be told,
// and all heals.
func (c *onCluster) checkNodeDies(t *testing.T) {
	o := redis.Options{LogTimeout: quickLog, Timeout: 300 * time.Millisecond, ProbeInterval: 20 * time.Millisecond}
	enters := func() *instance { return c.enter(t, o, cache.Options[string, string]{}) }
	a, b := enters(), enters()
	node := c.Node(a.logKey())
	keys := make([]string, 0, 2) // on other nodes
	for i := 0; len(keys) < cap(keys); i++ {
		if key := fmt.Sprint("k", i); c.Node(a.prefix+":c:0:"+key) != node {
			keys = append(keys, key)
		}
	}
	redistest.Eventually(t, soon, "both have the values", func() bool {
		for _, key := range keys {
			_, err := a.GetOrLoad(t.Context(), key, yields[string]("old"))
			v, getErr := b.Get(t.Context(), key)
			if err != nil || getErr != nil || v != "old" {
				return false
			}
		}
		return true
	})
	positions := []remote.Position{a.store.Observed("c"), b.store.Observed("c")}

	node.Kill()
	start := time.Now()
	err := a.Invalidate(t.Context(), keys[0])
	var remote *cache.RemoteError
	if !errors.As(err, &remote) || remote.Op != "invalidate" {
		t.Errorf("Invalidate: %v, want a RemoteError of invalidate", err)
	}
	within(t, start, a.store.Budget()+slack, "Invalidate")
	if v, err := a.Get(t.Context(), keys[0]); err == nil {
		t.Errorf("Get on the instance that invalidated = %q", v)
	}
	if v, err := a.Get(t.Context(), keys[1]); err != nil || v != "old" {
		t.Errorf("Get of a key of another node = %q, %v", v, err)
	}
	for _, i := range []*instance{a, b} {
		redistest.Eventually(t, soon, "the log is lost", func() bool { return !i.store.Stats().LogFollowing })
	}

	node.Restart()
	for _, i := range []*instance{a, b} {
		redistest.Eventually(t, 20*time.Second, "the log is read again", func() bool { return i.store.Stats().LogFollowing && i.Stats().LogFollowed })
	}
	for n, i := range []*instance{a, b} {
		i.wantLogGaps(t, "an instance", 1)
		if at := i.store.Observed("c"); !positions[n].Before(at) {
			t.Errorf("the log goes on at %v, and was at %v", at, positions[n])
		}
		misses(t, i, keys[0])
	}
	redistest.Eventually(t, soon, "an invalidation succeeds", func() bool { return a.Invalidate(t.Context(), keys...) == nil })
	for _, key := range keys {
		missesSoon(t, b, key)
	}
	if n := a.Stats().Unconfirmed; n != 0 {
		t.Errorf("%d keys are distrusted", n)
	}
}
