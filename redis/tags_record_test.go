package redis_test

import (
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// tagDamage are ways in which the record of a tag is lost, or cannot be read.
func tagDamage(t *testing.T) map[string]func(goredis.Pipeliner, string) {
	set := func(text string) func(goredis.Pipeliner, string) {
		return func(pipe goredis.Pipeliner, key string) { pipe.Set(t.Context(), key, text, time.Hour) }
	}
	return map[string]func(goredis.Pipeliner, string){
		"evicted":         func(goredis.Pipeliner, string) {},
		"foreign":         set("somebody else's"),
		"empty":           set(""),
		"head alone":      set("P\x02"),
		"older version":   set("P\x010-0"),
		"newer version":   set("P\x030-0"),
		"another kind":    set("V\x020-0"),
		"no number":       set("P\x02a-0"),
		"negative":        set("P\x02-1-0"),
		"one number":      set("P\x020"),
		"something after": set("P\x020-0 "),
		"a list":          func(pipe goredis.Pipeliner, key string) { pipe.RPush(t.Context(), key, "P\x020-0") },
		"a hash":          func(pipe goredis.Pipeliner, key string) { pipe.HSet(t.Context(), key, "P\x02", "0-0") },
	}
}

// The record of a tag tells those who start later what was invalidated before. Without
// it all values of the tag are misses for them, and they stay so: a value that was
// invalidated never comes back.
func TestWithoutTheRecordOfATagItsValuesAreMissesForGood(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b, filler := tagged(t, server), tagged(t, server), tagged(t, server)
	hold(t, "other", "v|u", filler, b)
	for tag := range tagDamage(t) {
		hold(t, tag+", wrong", "old|"+tag, filler, a, b)
		invalidateTags(t, a, tag)
		upToDate(t, server, filler, b)
		hold(t, tag+", right", "v|u,"+tag, filler, b)
		hasRecords(t, server, a, tag, "u")
	}
	idle(t, filler)
	for tag, damage := range tagDamage(t) {
		damageTag(t, server, a.tagKey(tag), damage)
	}
	invalidate(t, a, "something") // so that those who start later have to ask
	upToDate(t, server, b)
	early := tagged(t, server)
	wantGet(t, early.Cache, "other", "v|u")
	for tag := range tagDamage(t) {
		misses(t, early, tag+", right", tag+", wrong")
		wantGet(t, b.Cache, tag+", right", "v|u,"+tag) // it knows without
		wantMiss(t, b.Cache, tag+", wrong")
		// The next fill records the tag anew.
		wantLoad(t, early.Cache, tag+", new", "new|"+tag)
		hasRecords(t, server, a, tag)
	}
	for _, i := range []*instance{early, tagged(t, server), a, b} {
		for tag := range tagDamage(t) {
			wantGet(t, i.Cache, tag+", new", "new|"+tag)
			wantMiss(t, i.Cache, tag+", wrong")
		}
	}
	for tag := range tagDamage(t) {
		wantLoad(t, early.Cache, tag+", wrong", "new|"+tag)
	}
	later := tagged(t, server)
	for tag := range tagDamage(t) {
		wantGet(t, later.Cache, tag+", wrong", "new|"+tag)
	}
}

// The whole cache is a tag that all values have.
func TestWithoutTheRecordOfTheCacheAllValuesAreMisses(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for _, name := range []string{"evicted", "foreign", "a list"} {
		t.Run(name, func(t *testing.T) {
			a, b, filler := tagged(t, server), tagged(t, server), tagged(t, server)
			hold(t, "wrong", "old", filler, a, b)
			invalidateAll(t, a)
			upToDate(t, server, filler, b)
			hold(t, "right", "v|t", filler, b)
			hasRecords(t, server, a, "t")
			idle(t, filler)
			damageTag(t, server, a.tagKey(""), tagDamage(t)[name])
			invalidate(t, a, "something")
			upToDate(t, server, b)
			early := tagged(t, server)
			misses(t, early, "right", "wrong")
			wantGet(t, b.Cache, "right", "v|t")
			wantLoad(t, early.Cache, "new", "new")
			hasRecords(t, server, a)
			for _, i := range []*instance{early, tagged(t, server), a, b} {
				wantGet(t, i.Cache, "new", "new")
				wantMiss(t, i.Cache, "wrong")
			}
		})
	}
}

// damageTag replaces the record of a tag by something else.
func damageTag(t *testing.T, server *redistest.Server, key string, damage func(goredis.Pipeliner, string)) {
	t.Helper()
	atOnce(t, server, func(pipe goredis.Pipeliner) {
		pipe.Del(t.Context(), key)
		damage(pipe, key)
	})
}

// An invalidation puts a record where there is something else.
func TestAnInvalidationOfATagRepairsItsRecord(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := tagged(t, server)
	for name, damage := range tagDamage(t) {
		wantLoad(t, a.Cache, name, "old|t")
		damageTag(t, server, a.tagKey("t"), damage)
		invalidateTags(t, a, "t")
		wantLoad(t, a.Cache, name+", loaded later", "new|t")
		recordsInTheEnd(t, server, a, "t")
		invalidate(t, a, "something") // so that those who start later have to ask
		later := tagged(t, server)
		wantMiss(t, later.Cache, name)
		wantGet(t, later.Cache, name+", loaded later", "new|t")
	}
}

// Numbers that no position has are not compared with those of one.
func TestARecordOfATagWithNumbersThatAreTooLargeIsRepaired(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, repair := range map[string]func(*instance){
		"by an invalidation": func(a *instance) { invalidateTags(t, a, "t") },
		"by a fill":          func(*instance) {},
	} {
		t.Run(name, func(t *testing.T) {
			a := tagged(t, server)
			put(t, server.Client(), a.tagKey("t"), "P\x0299999999999999999999-0", time.Hour)
			repair(a)
			recordsInTheEnd(t, server, a, "t")
		})
	}
}

// What cannot be asked about is a miss, and no failure of the call.
func TestATagThatMayNotBeReadIsAMiss(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := tagged(t, server)
	hold(t, "k", "v|t", a)
	hold(t, "plain", "v", a)
	hasRecords(t, server, a, "t")
	invalidateTags(t, a, "other") // so that later ones have to ask
	err := server.Client().Do(t.Context(), "acl", "setuser", "half", "on", ">secret", "+@all", "~"+a.prefix+":c:0:*", "~"+a.logKey()+"*", "~"+a.tagKey("")).Err()
	if err != nil {
		t.Fatal(err)
	}
	later := enter(t, "half:secret@"+server.Addr(), redis.Options{}, cache.Options[string, string]{Tags: tagsOf})
	wantMiss(t, later.Cache, "k")
	wantGet(t, later.Cache, "plain", "v")
	wantLoad(t, later.Cache, "k", "new|t")
	if s := later.Stats(); s.RemoteErrors == 0 || later.store.Stats().BreakerOpened != 0 {
		t.Errorf("%d errors of the remote tier are counted, the breaker opened %d times; want some, and none", s.RemoteErrors, later.store.Stats().BreakerOpened)
	}
}

// A record stands for as long as a value can that it concerns, and is never cut short.
func TestTheRecordOfATagOutlivesItsValues(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	const maxAge = 10 * time.Hour
	with := func(maxAge time.Duration) *instance {
		return enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{Tags: tagsOf, MaxAge: maxAge})
	}
	long, short := with(maxAge), with(time.Hour)
	wantStands := func(what string, tags ...string) {
		t.Helper()
		hasRecords(t, server, long, tags...)
		for _, tag := range append(tags, "") {
			left := server.Client().PTTL(t.Context(), long.tagKey(tag)).Val()
			if left < 2*maxAge-time.Minute || left > 2*maxAge {
				t.Errorf("%s: the record of %q stands for %v, want twice the MaxAge of %v", what, tag, left, maxAge)
			}
		}
	}
	wantLoad(t, long.Cache, "k", "v|t")
	wantStands("recorded", "t")
	wantLoad(t, short.Cache, "k2", "v|t")
	wantStands("recorded again for a shorter time", "t")
	invalidateTags(t, long, "t", "u")
	invalidateAll(t, long)
	wantStands("invalidated", "t", "u")
	short = with(time.Hour)
	invalidateTags(t, short, "t", "u")
	invalidateAll(t, short)
	wantStands("invalidated for a shorter time", "t", "u")
}

// The entry cannot be appended, and nobody is told; but those who start later must not
// take the old record for a state of the tag.
func TestTagsOfARedisOutOfMemory(t *testing.T) {
	t.Parallel()
	for name, invalidates := range map[string]func(*instance) error{
		"a tag":           func(a *instance) error { return a.InvalidateTags(t.Context(), "t") },
		"the whole cache": func(a *instance) error { return a.InvalidateAll(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			a := tagged(t, server)
			hold(t, "k", "old|t", a)
			hasRecords(t, server, a, "t")
			invalidate(t, a, "something") // so that those who start later have to ask
			maxMemory(t, server, 1)
			if invalidates(a) == nil {
				t.Error("no error, though nobody can be told")
			}
			misses(t, a, "k")
			misses(t, tagged(t, server), "k")
			maxMemory(t, server, 0)
			misses(t, tagged(t, server), "k")
			if err := invalidates(a); err != nil {
				t.Error(err)
			}
			idle(t, a) // what was queued may be made again at this moment
			wantLoad(t, a.Cache, "k", "new|t")
			wantGet(t, tagged(t, server).Cache, "k", "new|t")
		})
	}
}
