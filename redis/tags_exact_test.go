package redis_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// A wood is the values of some keys, with random tags.
type wood map[string]string

var woodTags = strings.Split("red green blue ash oak elm t:1 {t} ü 0", " ")

func newWood(r *rand.Rand, round int) wood {
	w := make(wood)
	for i := range 40 {
		n := r.IntN(5)
		tags := make([]string, n)
		for j := range tags {
			tags[j] = woodTags[r.IntN(len(woodTags))]
		}
		key := fmt.Sprint("k", i, " of round ", round)
		if w[key] = fmt.Sprint("value ", i); n > 0 {
			w[key] += "|" + strings.Join(tags, ",")
		}
	}
	return w
}

// load makes each key be filled by one of fleet, and read by all.
func (w wood) load(t *testing.T, server *redistest.Server, fleet []*instance) {
	t.Helper()
	i := 0
	for key, value := range w {
		if v, err := fleet[i%len(fleet)].GetOrLoad(t.Context(), key, yields[string](value)); err != nil || v != value {
			t.Errorf("GetOrLoad(%s) = %q, %v", key, v, err)
		}
		idle(t, fleet...)
		hasRecords(t, server, fleet[0], tagsOf(key, value)...)
		for _, i := range fleet {
			wantGet(t, i.Cache, key, value)
		}
		i++
	}
}

// want wants exactly the keys with one of tags to be misses.
func (w wood) want(t *testing.T, who string, i *instance, tags ...string) {
	t.Helper()
	for key, value := range w {
		wrong := slices.ContainsFunc(tagsOf(key, value), func(tag string) bool { return slices.Contains(tags, tag) })
		v, err := i.Get(t.Context(), key)
		if wrong != (err == cache.ErrMiss) || (!wrong && v != value) {
			t.Fatalf("%s, after an invalidation of %q: Get of a value with %q = %q, %v", who, tags, tagsOf(key, value), v, err)
		}
	}
}

func TestTagsAreExactOnEveryInstance(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := rand.New(rand.NewPCG(38, 1))
	fleet := []*instance{tagged(t, server), tagged(t, server)}
	for round := range 4 {
		w := newWood(r, round)
		w.load(t, server, fleet)
		var tags []string
		for len(tags) <= round%3 {
			tags = append(tags, woodTags[r.IntN(len(woodTags))])
		}
		invalidateTags(t, fleet[0], tags...)
		w.want(t, "the one that invalidated", fleet[0], tags...)
		upToDate(t, server, fleet...)
		w.want(t, "the other", fleet[1], tags...)
		w.want(t, "one that starts later", tagged(t, server), tags...)
		// What is loaded anew is right, also for those who start after that.
		for key, value := range w {
			w[key] = "new " + value
		}
		if err := fleet[1].Invalidate(t.Context(), slices.Collect(maps.Keys(w))...); err != nil {
			t.Error(err)
		}
		upToDate(t, server, fleet...)
		w.load(t, server, fleet)
		w.want(t, "one that starts after the next load", tagged(t, server))
		fleet[0], fleet[1] = fleet[1], fleet[0]
	}
	for _, i := range fleet {
		i.wantLogGaps(t, "tags", 0)
	}
}

// Only the value has the tag, and it is invalidated while it is loaded.
func TestATagThatIsInvalidatedDuringTheLoad(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, invalidates := range map[string]func(*testing.T, *instance){
		"a tag":           func(t *testing.T, i *instance) { invalidateTags(t, i, "t") },
		"the whole cache": invalidateAll,
	} {
		for who := range 2 {
			t.Run(fmt.Sprint(name, ", by ", []string{"itself", "another"}[who]), func(t *testing.T) {
				t.Parallel()
				fleet := []*instance{tagged(t, server), tagged(t, server)}
				load := newBlocked(t, "old|t", nil)
				done := start(t, fleet[0].Cache, load.load)
				<-load.started
				invalidates(t, fleet[who])
				close(load.let)
				wantCall(t, done, "old|t")
				upToDate(t, server, fleet...)
				for _, i := range append(fleet, tagged(t, server)) {
					misses(t, i, "k")
				}
				wantLoad(t, fleet[1].Cache, "k", "new|t")
				wantGet(t, fleet[0].Cache, "k", "new|t")
				recordsInTheEnd(t, server, fleet[1], "t")
				wantGet(t, tagged(t, server).Cache, "k", "new|t")
			})
		}
	}
}

func TestWarmHitsWithTagsCostNoCommand(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := tagged(t, server), tagged(t, server)
	const keys = 20
	for i := range keys {
		hold(t, fmt.Sprint(i), fmt.Sprint("v|t,u", i), a, b)
	}
	hasRecords(t, server, a, "t")
	invalidateTags(t, a, "another", "u0") // so that there is something to compare with
	upToDate(t, server, a, b)
	idle(t, a, b)
	server.ResetCommands()
	for range 10 {
		for i := 1; i < keys; i++ {
			wantGet(t, a.Cache, fmt.Sprint(i), fmt.Sprint("v|t,u", i))
			wantGet(t, b.Cache, fmt.Sprint(i), fmt.Sprint("v|t,u", i))
		}
	}
	idle(t, a, b)
	if got := commands(server); len(got) != 0 {
		t.Errorf("local hits sent %v", got)
	}
}

// An instance that was there before the load knows all tags, and asks for none. One that
// starts later asks once for each.
func TestReadsOfTheRemoteTierAskForTagsOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, warm := tagged(t, server), tagged(t, server)
	const keys = 20
	for i := range keys {
		wantLoad(t, a.Cache, fmt.Sprint(i), "v|t,u")
	}
	hasRecords(t, server, a, "t", "u")
	gets := func(i *instance) int64 {
		idle(t, a, i)
		server.ResetCommands()
		for k := range keys {
			wantGet(t, i.Cache, fmt.Sprint(k), "v|t,u")
		}
		return commands(server)["get"]
	}
	if n := gets(warm); n != keys {
		t.Errorf("%d GET for %d reads of an instance that knows, want one each", n, keys)
	}
	invalidate(t, a, "other") // the next one starts behind that, and so behind the stamps
	if n := gets(tagged(t, server)); n != keys+3 {
		t.Errorf("%d GET for %d reads of an instance that starts later, want one each, and three", n, keys)
	}
}

// What concerns one cache of a Store leaves the others alone, whatever they are called.
func TestTagsOfOtherCachesAreOthers(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	o := redis.Options{Prefix: prefix(t), Timeout: patient.Timeout}
	store := open(t, server.URL(), o)
	caches := make(map[string]*cache.Cache[string, string])
	for _, name := range []string{"c", "c.", "c-t", "d"} {
		caches[name] = cacheOn(t, store, cache.Options[string, string]{Name: name, Tags: tagsOf})
	}
	schema := cacheOn(t, open(t, server.URL(), o), cache.Options[string, string]{Name: "c", Schema: 1, Tags: tagsOf})
	follows(t, store)
	all := func() {
		for _, c := range caches {
			_, _ = c.GetOrLoad(t.Context(), "k", yields[string]("v|t"))
			idle(t, c)
		}
		_, _ = schema.GetOrLoad(t.Context(), "k", yields[string]("v|t"))
		idle(t, schema)
	}
	all()
	for _, invalidates := range []func() error{
		func() error { return caches["c"].InvalidateTags(t.Context(), "t") },
		func() error { return caches["c"].InvalidateAll(t.Context()) },
	} {
		if err := invalidates(); err != nil {
			t.Error(err)
		}
		wantMiss(t, caches["c"], "k")
		for name, c := range caches {
			if name != "c" {
				wantGet(t, c, "k", "v|t")
			}
		}
		all()
	}
}
