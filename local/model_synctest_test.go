package local_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nearside-go/nearside/local"
	"pgregory.net/rapid"
)

// model is what a store of one shard promises, in the plainest terms: a list of
// entries in the order of their use, searched from end to end.
//
// It reads the exact time. So does the store for entries within 250 ms of their
// end; those that slide or are renewed are kept that short here.
type model struct {
	limits  local.Options
	entries []modelEntry // the least recently used first
	stats   local.Stats
}

type modelEntry struct {
	key            string
	value          int
	cost           int64
	life           local.Lifetime
	added, counted time.Time // counted is when the TTL began
	nextDue        time.Time
}

func (m *model) index(key string) int {
	return slices.IndexFunc(m.entries, func(e modelEntry) bool { return e.key == key })
}

func (m *model) remove(key string) bool {
	i := m.index(key)
	if i >= 0 {
		m.entries = slices.Delete(m.entries, i, i+1)
	}
	return i >= 0
}

func (m *model) cost() (sum int64) {
	for _, e := range m.entries {
		sum += e.cost
	}
	return sum
}

func (m *model) lookup(key string) (value int, due, ok bool) {
	i := m.index(key)
	if i < 0 {
		m.stats.Misses++
		return 0, false, false
	}
	e, now := m.entries[i], time.Now()
	m.entries = slices.Delete(m.entries, i, i+1)
	if end := m.end(e); !now.Before(end) {
		m.stats.Misses++
		if m.inWindow(e) {
			m.entries = append(m.entries, e)
		} else {
			m.stats.Expired++
		}
		return 0, false, false
	}
	if e.life.Slides {
		e.counted = now
	}
	if e.life.RenewEvery > 0 && !now.Before(e.nextDue) {
		due = true
		e.nextDue = now.Add(e.life.RenewEvery)
	}
	m.stats.Hits++
	m.entries = append(m.entries, e)
	return e.value, due, true
}

// end is the time from which on e is not fresh.
func (m *model) end(e modelEntry) time.Time {
	end := e.counted.Add(e.life.TTL)
	for _, bound := range []time.Duration{e.life.MaxAge, m.limits.TTL} {
		if at := e.added.Add(bound); bound > 0 && at.Before(end) {
			end = at
		}
	}
	return end
}

// inWindow says whether e is stale, and kept. A limit on the TTL makes windows end with it,
// and with the MaxAge.
func (m *model) inWindow(e modelEntry) bool {
	now, end := time.Now(), m.end(e)
	if m.limits.TTL > 0 {
		for _, bound := range []time.Duration{e.life.MaxAge, m.limits.TTL} {
			if bound > 0 && !now.Before(e.added.Add(bound)) {
				return false
			}
		}
	}
	return !now.Before(end) && now.Before(end.Add(e.life.Window))
}

func (m *model) stale(key string) (s local.Stale[int], ok bool) {
	i := m.index(key)
	if i < 0 || !m.inWindow(m.entries[i]) {
		return s, false
	}
	e := m.entries[i]
	since := time.Since(m.end(e))
	return local.Stale[int]{Value: e.value, For: since, Left: e.life.Window - since}, true
}

func (m *model) add(key string, value int, cost int64, life local.Lifetime) (out evicted) {
	cost = max(cost, 0)
	m.remove(key)
	if life.TTL+life.Window <= 0 || (m.limits.MaxCost > 0 && cost > m.limits.MaxCost) {
		return nil
	}
	now := time.Now()
	m.entries = append(m.entries, modelEntry{key: key, value: value, cost: cost, life: life,
		added: now, counted: now, nextDue: now.Add(life.RenewIn)})
	for len(m.entries) > m.limits.MaxEntries || (m.limits.MaxCost > 0 && m.cost() > m.limits.MaxCost) {
		out = append(out, local.Evicted[string, int]{Key: m.entries[0].key, Value: m.entries[0].value})
		m.entries = m.entries[1:]
		m.stats.Evictions++
	}
	return out
}

// operation is drawn outside the bubble, because rapid reads the clock.
type operation struct {
	Kind  string
	Key   string
	Value int
	Cost  int64
	Life  local.Lifetime
	Sleep time.Duration
}

// oneOf draws one of some milliseconds. Few different ones, so that ends are
// often met exactly, and each as likely as the others, where ranges prefer what
// is small.
func oneOf(t *rapid.T, label string, ms ...time.Duration) time.Duration {
	return rapid.SampledFrom(ms).Draw(t, label) * time.Millisecond
}

func drawLifetime(t *rapid.T) local.Lifetime {
	if rapid.Bool().Draw(t, "long") {
		return local.Lifetime{TTL: oneOf(t, "TTL", 300, 500, 1000), Window: oneOf(t, "Window", 0, 100, 300)}
	}
	return local.Lifetime{
		TTL:        oneOf(t, "TTL", -50, 0, 50, 100, 100, 150, 200, 240),
		Window:     oneOf(t, "Window", 0, 0, 50, 200),
		Slides:     rapid.Bool().Draw(t, "Slides"),
		MaxAge:     oneOf(t, "MaxAge", 0, 0, 100, 300),
		RenewEvery: oneOf(t, "RenewEvery", 0, 50, 100),
		RenewIn:    oneOf(t, "RenewIn", 0, 50, 100),
	}
}

func drawOperation(t *rapid.T) operation {
	kinds := []string{"add", "lookup", "lookup", "lookup", "stale", "sleep", "sleep"}
	if rapid.IntRange(0, 9).Draw(t, "rare") == 9 {
		kinds = []string{"remove", "remove", "clear"}
	}
	return operation{
		Kind:  rapid.SampledFrom(kinds).Draw(t, "kind"),
		Key:   rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"),
		Value: rapid.IntRange(1, 99).Draw(t, "value"),
		Cost:  rapid.SampledFrom([]int64{-1, 1, 1, 2, 2, 5, 11}).Draw(t, "cost"),
		Life:  drawLifetime(t),
		Sleep: oneOf(t, "sleep", 10, 50, 100, 150),
	}
}

// run returns the first difference between a store and the model.
func (m *model) run(s *local.Store[string, int], ops []operation) error {
	for i, op := range ops {
		var want, got []any
		switch op.Kind {
		case "add":
			want = append(want, m.add(op.Key, op.Value, op.Cost, op.Life))
			got = append(got, s.Add(op.Key, op.Value, op.Cost, op.Life))
		case "lookup":
			v, due, ok := m.lookup(op.Key)
			want = append(want, v, due, ok)
			v, due, ok = s.Lookup(op.Key)
			got = append(got, v, due, ok)
		case "stale":
			stale, ok := m.stale(op.Key)
			want = append(want, stale, ok)
			stale, ok = s.Stale(op.Key)
			got = append(got, stale, ok)
		case "remove":
			want = append(want, m.remove(op.Key))
			got = append(got, s.Remove(op.Key))
		case "clear":
			m.entries = nil
			s.Clear()
		case "sleep":
			time.Sleep(op.Sleep)
		}
		m.stats.Entries, m.stats.Cost = len(m.entries), m.cost()
		want, got = append(want, m.stats, len(m.entries)), append(got, s.Stats(), s.Len())
		if d := cmp.Diff(want, got); d != "" {
			return fmt.Errorf("operation %d, %s of %q (-model +store):\n%s", i, op.Kind, op.Key, d)
		}
	}
	return nil
}

func TestStoreOfOneShardActsAsTheModel(t *testing.T) {
	actsAsTheModel(t, func(rt *rapid.T) local.Options {
		return local.Options{
			MaxEntries: rapid.SampledFrom([]int{1, 2, 2, 5}).Draw(rt, "MaxEntries"),
			MaxCost:    rapid.SampledFrom([]int64{0, 0, 10, 20}).Draw(rt, "MaxCost"),
			TTL:        oneOf(rt, "Options.TTL", 0, 0, 250, 400),
		}
	})
}

// A store of several shards, or of TwoQueue, acts as the model as long as it evicts nothing.
func TestStoreThatEvictsNothingActsAsTheModel(t *testing.T) {
	actsAsTheModel(t, func(rt *rapid.T) local.Options {
		return local.Options{
			MaxEntries: rapid.SampledFrom([]int{100, 1000}).Draw(rt, "MaxEntries"),
			TTL:        oneOf(rt, "Options.TTL", 0, 0, 250, 400),
			Policy:     rapid.SampledFrom([]local.Policy{local.LRU, local.TwoQueue}).Draw(rt, "Policy"),
		}
	})
}

func actsAsTheModel(t *testing.T, draw func(*rapid.T) local.Options) {
	rapid.Check(t, func(rt *rapid.T) {
		o := draw(rt)
		ops := rapid.SliceOfN(rapid.Custom(drawOperation), 50, 150).Draw(rt, "operations")
		var err error
		synctest.Test(t, func(t *testing.T) {
			s := newStore[string, int](t, o)
			err = (&model{limits: o}).run(s, ops)
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
}
