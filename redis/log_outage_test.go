package redis_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/faultlink"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/local"
	"github.com/nearside-go/nearside/redis"
)

// outage is a time for which an instance cannot read the log, and what becomes of
// the log meanwhile.
type outage struct {
	name      string
	fault     func(*faultlink.Link)
	meanwhile func(*testing.T, *redistest.Server, *instance)
	gap       bool // what is behind the last entry that was read cannot be told

	link  *faultlink.Link
	a, b  *instance
	began time.Time
}

// outages are all faults of a connection, with all fates of the log.
func outages() (all []*outage) {
	client := (*redistest.Server).Client
	faults := map[string]func(*faultlink.Link){
		"cut": (*faultlink.Link).Cut, "frozen": (*faultlink.Link).Freeze, "half open": (*faultlink.Link).Drop,
	}
	for name, fault := range faults {
		for _, o := range []outage{
			{name: "all is there", meanwhile: func(*testing.T, *redistest.Server, *instance) {}},
			{name: "trimmed", gap: true, meanwhile: func(t *testing.T, s *redistest.Server, a *instance) {
				if err := client(s).XTrimMaxLen(t.Context(), a.logKey(), 0).Err(); err != nil {
					t.Error(err)
				}
			}},
			{name: "the last entry is left", gap: true, meanwhile: func(t *testing.T, s *redistest.Server, a *instance) {
				if err := client(s).XTrimMaxLen(t.Context(), a.logKey(), 1).Err(); err != nil {
					t.Error(err)
				}
			}},
			{name: "deleted", gap: true, meanwhile: func(t *testing.T, s *redistest.Server, a *instance) { del(t, s, a.logKey()) }},
			{name: "deleted, and begun anew", gap: true, meanwhile: func(t *testing.T, s *redistest.Server, a *instance) {
				del(t, s, a.logKey())
				<-time.After(2 * time.Millisecond) // or its first entry has the position of the last one
				invalidate(t, a, "other")
			}},
		} {
			o.name, o.fault = name+", "+o.name, fault
			all = append(all, &o)
		}
	}
	return all
}

// All of them go through their outages side by side: most of it is waiting.
func TestAfterAnOutageOfTheLogNothingOldIsServed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	all := outages()
	for i, o := range all {
		o.prepare(t, server, fmt.Sprint(prefix(t), i))
	}
	for _, o := range all {
		o.began = time.Now()
		o.fault(o.link)
		invalidate(t, o.a, "k")
		o.meanwhile(t, server, o.a)
	}
	for _, o := range all {
		o.wantNoticed(t)
		o.link.Restore()
	}
	for _, o := range all {
		o.wantHealed(t, server)
	}
	<-time.After(quickLog) // and once more
	for _, o := range all {
		o.wantGap(t)
	}
}

func (o *outage) prepare(t *testing.T, server *redistest.Server, prefix string) {
	t.Helper()
	o.link = lineTo(t, server)
	o.a = enter(t, server.Addr(), redis.Options{Prefix: prefix}, cache.Options[string, string]{})
	o.b = enter(t, o.link.Addr(), redis.Options{
		Prefix: prefix, LogTimeout: quickLog, Timeout: time.Second, ProbeInterval: 10 * time.Millisecond,
	}, cache.Options[string, string]{})
	hold(t, "k", "old", o.a, o.b)
	hold(t, "kept", "kept", o.a, o.b)
}

// wantNoticed wants the outage to be noticed within LogTimeout.
func (o *outage) wantNoticed(t *testing.T) {
	t.Helper()
	var at time.Time
	redistest.Eventually(t, soon, o.name+": the outage is noticed", func() (reported bool) {
		at, reported = o.b.seen.lostAt()
		return reported && !o.b.store.Stats().LogFollowing && !o.b.Stats().LogFollowed
	})
	if took := ran(o.began, at); took > quickLog+noticed {
		t.Errorf("%s: the outage was noticed after %v, with a LogTimeout of %v", o.name, took, quickLog)
	}
}

// wantHealed wants the log to be read again, and nothing old to be served from then on.
func (o *outage) wantHealed(t *testing.T, server *redistest.Server) {
	t.Helper()
	redistest.Eventually(t, soon, o.name+": the log is read again", func() bool {
		return o.b.store.Stats().LogFollowing && o.b.Stats().LogFollowed
	})
	upToDate(t, server, o.b)
	misses(t, o.b, "k")
	// The breaker may be open still.
	redistest.Eventually(t, soon, o.name+": what is loaded reaches Redis again", func() bool {
		_ = o.b.Invalidate(t.Context(), "k")
		v, err := o.b.GetOrLoad(t.Context(), "k", yields[string]("new"))
		return err == nil && v == "new" && server.Client().Exists(t.Context(), o.b.prefix+":c:0:k").Val() == 1
	})
}

// wantGap wants the local tier to have been dropped once, if there was a gap, and to
// be there still if there was none.
func (o *outage) wantGap(t *testing.T) {
	t.Helper()
	hits := o.b.Stats().LocalHits
	wantGet(t, o.b.Cache, "kept", "kept")
	kept := o.b.Stats().LocalHits != hits
	if o.gap {
		o.b.wantLogGaps(t, o.name, 1)
	} else {
		o.b.wantLogGaps(t, o.name, 0)
	}
	// Without the log, copies end after Local.TTL.
	if kept && o.gap || !kept && !o.gap && calm(t, o.began, away) {
		t.Errorf("%s: the local tier was kept: %v", o.name, kept)
	}
	o.b.wantOneLoss(t, o.began, o.name)
}

// A path that is silent for less than LogTimeout costs nothing: what was held back
// arrives.
func TestAShortSilenceIsNoOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	link := lineTo(t, server)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, link.Addr(), redis.Options{LogTimeout: soon}, cache.Options[string, string]{})
	hold(t, "k", "old", a, b)
	hold(t, "kept", "kept", a, b)
	link.Freeze()
	invalidate(t, a, "k")
	<-time.After(50 * time.Millisecond)
	wantGet(t, b.Cache, "k", "old") // it cannot know
	link.Restore()
	missesSoon(t, b, "k")
	wantGet(t, b.Cache, "kept", "kept")
	b.wantLogGaps(t, "a short silence", 0)
	if n := b.store.Stats().LogSessions; n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

// While nobody notices that a connection is half open, Local.TTL bounds what is served.
func TestLocalTTLBoundsWhatAnUnnoticedOutageLeaves(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	server := redistest.Start(t)
	link := lineTo(t, server)
	o := cache.Options[string, string]{Local: local.Options{TTL: ttl}}
	a := enter(t, server.Addr(), redis.Options{}, o)
	b := enter(t, link.Addr(), redis.Options{LogTimeout: time.Minute, Timeout: 250 * time.Millisecond}, o)
	wantLoad(t, a.Cache, "k", "old")
	redistest.Eventually(t, soon, "the other instance reads the value", func() bool {
		v, err := b.Get(t.Context(), "k")
		return err == nil && v == "old"
	})
	read := time.Now()
	link.Drop()
	invalidate(t, a, "k")
	wantLoad(t, a.Cache, "k", "new")
	served := 0
	for {
		asked := time.Now()
		v, err := b.Get(t.Context(), "k")
		if errors.Is(err, cache.ErrMiss) {
			break
		}
		if served++; err != nil || v != "old" || ran(read, asked) > ttl {
			t.Fatalf("%v after it was read, with a Local.TTL of %v: Get = %q, %v", asked.Sub(read), ttl, v, err)
		}
		<-time.After(time.Millisecond)
	}
	if served == 0 || !b.store.Stats().LogFollowing {
		t.Errorf("the old value was served %d times, following %v: the outage was no such", served, b.store.Stats().LogFollowing)
	}
	link.Restore()
	redistest.Eventually(t, soon, "Redis is read again", func() bool {
		v, err := b.Get(t.Context(), "k")
		if err == nil && v != "new" {
			t.Errorf("Get = %q", v)
		}
		return err == nil
	})
}
