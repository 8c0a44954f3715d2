package redis_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// These are rows of the table of faults in docs/consistency.md that are shown nowhere
// else: what is served, and for how long at most.

// maxAge bounds what these tests leave behind. A TTL of a third of that is renewed by
// their reads.
const maxAge = 3 * time.Second

// ticks is how much later than it should a local copy may end: the local clock ticks, and
// is late on a busy machine.
const ticks = 100 * time.Millisecond

var aging = cache.Options[string, string]{TTL: maxAge / 3, MaxAge: maxAge, Tags: tagsOf}

// wantOldUntilMaxAge reads k through all of fleet, which has held "old" since then. It is
// what is there for longer than a TTL, and for no longer than maxAge.
func wantOldUntilMaxAge(t *testing.T, since time.Time, src *source, fleet ...*instance) {
	t.Helper()
	last := since
	for n := 0; n < 10*len(fleet); {
		for _, i := range fleet {
			asked := time.Now()
			v, err := i.GetOrLoad(t.Context(), "k", src.load)
			switch {
			case err != nil:
				t.Fatal(err)
			case v == "old" && ran(since, asked) > maxAge+ticks:
				t.Fatalf("the old value is served %v after its load, with a MaxAge of %v", asked.Sub(since), maxAge)
			case v == "old":
				last, n = asked, 0
			default:
				n++
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	// A TTL may pass between two reads of a machine that stalls.
	if lived := last.Sub(since); lived < maxAge*3/4 && calm(t, since, aging.TTL/8) {
		t.Errorf("the old value was served for %v, with a MaxAge of %v", lived, maxAge)
	}
}

// Nobody invalidates what was written.
func TestACrashBeforeTheInvalidationLeavesTheOldValueForMaxAge(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := enter(t, server.Addr(), redis.Options{}, aging), enter(t, server.Addr(), redis.Options{}, aging)
	src := &source{value: "new"}
	start := time.Now()
	hold(t, "k", "old", a, b)
	wantOldUntilMaxAge(t, start, src, a, b)
}

// The tombstones of a Mutate are evicted, another instance fills the old value, and the
// process dies between its write and its invalidation.
func TestATombstoneThatIsEvictedProvidesForNoCrash(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := enter(t, server.Addr(), redis.Options{}, aging), enter(t, server.Addr(), redis.Options{}, aging)
	m := startMutator(t, server)
	redistest.Eventually(t, soon, "the tombstone stands", func() bool {
		return server.Client().GetRange(t.Context(), record(t, "k"), 0, 0).Val() == "T"
	})
	upToDate(t, server, a, b)
	wantLoad(t, a.Cache, "k", "v")
	wantMiss(t, a.Cache, "k")
	del(t, server, record(t, "k"))
	start := time.Now()
	hold(t, "k", "old", a, b)
	m.kill()
	wantOldUntilMaxAge(t, start, &source{value: "new"}, a, b)
}

// What an instance distrusts because its Invalidate failed, it trusts when it is started
// anew.
func TestDistrustEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	err := server.Client().Do(t.Context(), "acl", "setuser", "app", "on", ">secret", "~*", "+@all", "-@scripting", "-xadd").Err()
	if err != nil {
		t.Fatal(err)
	}
	enters := func() *instance { return enter(t, "app:secret@"+server.Addr(), redis.Options{}, aging) }
	b := enter(t, server.Addr(), redis.Options{}, aging) // and begins the log, which the user may not
	a := enters()
	start := time.Now()
	hold(t, "k", "old", b, a)
	if err := a.Invalidate(t.Context(), "k"); err == nil {
		t.Fatal("Invalidate succeeded without the right to run scripts")
	}
	wantMiss(t, a.Cache, "k")
	_ = a.Close()
	wantOldUntilMaxAge(t, start, &source{value: "new"}, enters(), b)
}

// wantLocalCopyUntil reads k, which was invalidated then, and of which b is not told:
// its local copy is served, and for no longer than Local.TTL.
func wantLocalCopyUntil(t *testing.T, b *instance, since time.Time, ttl time.Duration) {
	t.Helper()
	wantGet(t, b.Cache, "k", "old")
	for {
		asked := time.Now()
		v, err := b.Get(t.Context(), "k")
		if errors.Is(err, cache.ErrMiss) {
			break
		}
		if took := ran(since, asked); took > ttl {
			t.Fatalf("%v after the invalidation, with a Local.TTL of %v: Get = %q, %v", took, ttl, v, err)
		}
		<-time.After(time.Millisecond)
	}
	misses(t, b, "k")
}

// Local.TTL bounds what an instance serves that is not told although its log is read.
func TestLocalTTLBoundsWhatIsNotTold(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	for name, c := range map[string]struct {
		logs int
		do   func(t *testing.T, server *redistest.Server, a *instance)
	}{
		"an entry of a later release": {1, func(t *testing.T, server *redistest.Server, a *instance) {
			del(t, server, a.prefix+":c:0:k")
			a.add(t, server, "*", "e", "\x02"+logEntry("c:0:k")[1:])
		}},
		"another number of logs": {3, func(t *testing.T, _ *redistest.Server, a *instance) { invalidate(t, a, "k") }},
		"Redis without memory": {1, func(t *testing.T, server *redistest.Server, a *instance) {
			maxMemory(t, server, 1)
			if err := a.Invalidate(t.Context(), "k"); err == nil {
				t.Error("Invalidate succeeded, though nobody can be told")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			o := cache.Options[string, string]{Local: local.Options{TTL: ttl}}
			a := enter(t, server.Addr(), redis.Options{}, o)
			b := enter(t, server.Addr(), redis.Options{LogPartitions: c.logs}, o)
			hold(t, "k", "old", a)
			hasRecords(t, server, a) // who reads another log has to ask
			wantGet(t, b.Cache, "k", "old")
			c.do(t, server, a)
			wantLocalCopyUntil(t, b, time.Now(), ttl)
			if s := b.Stats(); s.InvalidationsReceived != 0 || !s.LogFollowed {
				t.Errorf("told %d times, following: %v; want 0, and true", s.InvalidationsReceived, s.LogFollowed)
			}
		})
	}
}

// Two versions of a service side by side: keys are those of a Schema, tags those of a name.
func TestInvalidationsAndSchemas(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	with := func(schema int) *instance {
		return enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{Schema: schema, Tags: tagsOf})
	}
	older, newer, another := with(1), with(2), with(2)
	hold(t, "k", "older|t", older)
	hold(t, "k", "newer|t", newer, another)
	invalidate(t, older, "k")
	upToDate(t, server, newer, another)
	wantMiss(t, older.Cache, "k")
	for _, i := range []*instance{newer, another, with(2)} {
		wantGet(t, i.Cache, "k", "newer|t")
	}
	for name, declare := range map[string]func(){
		"tag": func() { invalidateTags(t, older, "t") },
		"all": func() { invalidateAll(t, older) },
	} {
		hold(t, name, "newer|t", newer, another)
		declare()
		upToDate(t, server, newer, another)
		for _, i := range []*instance{newer, another, with(2)} {
			wantMiss(t, i.Cache, name)
		}
	}
}

// Replies come within the budget, one at a time; two of them do not. After some reads the lease
// of a miss is taken with the read.
func TestARedisThatIsFarAwayServesHitsAndIsFilled(t *testing.T) {
	t.Parallel()
	const budget, delay = 2200 * time.Millisecond, 1500 * time.Millisecond
	server := redistest.Start(t)
	const n = 4
	for i := range n + 1 {
		fill(t, server, fmt.Sprint("hit", i))
	}
	link := newSlowLink(t, server.Addr())
	s := suffer(t, opened(t, link.Addr().String(), redis.Options{Timeout: budget, LogTimeout: time.Minute}))
	s.wantLoaded(t, "a connection, and the scripts", "v")
	s.wantLoaded(t, fmt.Sprint("hit", n), "old") // and it has asked about the cache
	idle(t, s)
	link.delay.Store(int64(delay))
	start := time.Now()
	for i := range n {
		s.wantLoaded(t, fmt.Sprint("hit", i), "old")
	}
	if s.Stats().Loads != 1 && calm(t, start, away) {
		t.Errorf("%d loads of %d hits", s.Stats().Loads-1, n)
	}
	arrived := false
	// There are two misses, because a fill may be late on a busy machine, and not more: after four
	// in a row the lease is taken with the read from a near Redis, too.
	for i := range 2 {
		key := fmt.Sprint("miss", i)
		s.wantLoaded(t, key, "v")
		idle(t, s)
		arrived = arrived || server.Client().GetRange(t.Context(), stored(key), 0, 0).Val() == "V"
	}
	if !arrived && calm(t, start, away) {
		t.Error("the value is not in Redis")
	}
}

// Two primaries, and an instance on each: neither hears of the other. When that is ended
// the one that was left behind drops its copies, and the other one hears of what was
// invalidated on the old primary.
func TestSplitBrain(t *testing.T) {
	t.Parallel()
	p, a, b := lastingPair(t)
	hold(t, "k", "old", a, b)
	hold(t, "l", "old", a, b)
	redistest.Eventually(t, soon, "the replica has the values", func() bool {
		return p.replica.Client().Exists(t.Context(), a.prefix+":c:0:k", a.prefix+":c:0:l", a.tagKey("")).Val() == 3
	})
	p.detach(t)
	invalidate(t, a, "k") // on the old primary; the other one has the value
	c := settle(t, func(s redis.Options) *redis.Store { return opened(t, p.replica.Addr(), s) }, quick, lasting)
	invalidate(t, c, "l") // on the new one
	missesSoon(t, b, "k")
	wantGet(t, b.Cache, "l", "old")
	wantGet(t, c.Cache, "k", "old")
	wantMiss(t, c.Cache, "l")
	p.promote()
	redistest.Eventually(t, soon, "a gap is noticed", func() bool { return a.Stats().Gaps == 1 && b.Stats().Gaps == 1 })
	redistest.Eventually(t, soon, "what was invalidated on the new primary is a miss", func() bool {
		_, err := b.Get(t.Context(), "l")
		return errors.Is(err, cache.ErrMiss)
	})
	redistest.Eventually(t, soon, "what was invalidated on the old primary is a miss on the new one", func() bool {
		_, err := c.Get(t.Context(), "k")
		return errors.Is(err, cache.ErrMiss)
	})
	misses(t, a, "k")
	misses(t, b, "k")
}

// Its value reaches its waiters, and no tier.
func TestALeaseThatIsEvictedFencesItsFillOut(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := join(t, server, redis.Options{}, cache.Options[string, string]{})
	load := newBlocked(t, "v", nil)
	done := start(t, a, load.load)
	<-load.started
	del(t, server, record(t, "k"))
	close(load.let)
	wantCall(t, done, "v")
	wantMiss(t, a, "k")
	if n := server.Client().Exists(t.Context(), record(t, "k")).Val(); n != 0 {
		t.Error("something is stored")
	}
	if n := a.Stats().RefusedFills; n != 1 {
		t.Errorf("%d fills were refused, want 1", n)
	}
	wantLoad(t, a, "k", "new")
}
