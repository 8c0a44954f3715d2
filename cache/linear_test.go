package cache_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/nearside-go/nearside/cache"
)

// operation is what was asked of a key.
type operation struct{ kind, key, value string }

// register is what a key of a cache is: it has the value that was set last, or loaded
// since it was invalidated, or none. A load that began before a Set or an Invalidate gives
// its callers its value, and stores nothing.
var register = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byKey := make(map[string][]porcupine.Operation)
		for _, o := range history {
			key := o.Input.(operation).key
			byKey[key] = append(byKey[key], o)
		}
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) []any {
		switch in := input.(operation); {
		case in.kind == "set":
			return []any{in.value}
		case in.kind == "invalidate":
			return []any{""}
		case output == state:
			return []any{state}
		case in.kind == "load" && state == "":
			return []any{output, ""}
		}
		return nil
	},
}

func linearizable(history []porcupine.Operation) bool {
	return porcupine.CheckOperations(register.ToModel(), history)
}

// TestLocalTierIsLinearizable: a million operations on a cache without a remote tier, of
// some callers on few keys. Each round has keys of its own, or it would take too long to
// judge.
func TestLocalTierIsLinearizable(t *testing.T) {
	const rounds, callers, operations, keys = 1000, 8, 125, 4
	c := newCache(t, options(nil))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range rounds {
		histories := make([][]porcupine.Operation, callers)
		var running sync.WaitGroup
		for caller := range callers {
			running.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(round*callers+caller)))
				for i := range operations {
					in := operation{
						kind:  []string{"get", "get", "load", "load", "set", "invalidate"}[random.IntN(6)],
						key:   fmt.Sprint(round, " ", random.IntN(keys)),
						value: fmt.Sprint(caller, " ", i),
					}
					call := time.Since(begun)
					out := perform(t, c, in)
					histories[caller] = append(histories[caller], porcupine.Operation{
						ClientId: caller, Input: in, Output: out, Call: int64(call), Return: int64(time.Since(begun)),
					})
				}
			})
		}
		running.Wait()
		for _, part := range register.Partition(slices.Concat(histories...)) {
			if !linearizable(part) {
				t.Fatalf("round %d is not linearizable:\n%s", round, listed(part))
			}
		}
	}
}

// listed returns the operations of one key, a line each, in the order of their calls.
func listed(part []porcupine.Operation) string {
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var lines strings.Builder
	for _, o := range part {
		in := o.Input.(operation)
		fmt.Fprintf(&lines, "%d to %d: caller %d: %s %q: %q\n", o.Call, o.Return, o.ClientId, in.kind, in.value, o.Output)
	}
	return lines.String()
}

var begun = time.Now()

// perform returns the value that an operation gave, if any.
func perform(t *testing.T, c *cache.Cache[string, string], o operation) (v string) {
	var err error
	switch o.kind {
	case "get":
		if v, err = c.Get(t.Context(), o.key); errors.Is(err, cache.ErrMiss) {
			err = nil
		}
	case "load":
		v, err = c.GetOrLoad(t.Context(), o.key, func(context.Context, string) (string, error) {
			runtime.Gosched() // others get a chance
			return o.value, nil
		})
	case "set":
		err = c.Set(t.Context(), o.key, o.value)
	case "invalidate":
		err = c.Invalidate(t.Context(), o.key)
	}
	if err != nil {
		t.Errorf("%s: %v", o.kind, err)
	}
	return v
}

// TestLinearizabilityIsJudged: what may not happen is found.
func TestLinearizabilityIsJudged(t *testing.T) {
	set := operation{"set", "k", "new"}
	invalidate := operation{"invalidate", "k", ""}
	get := operation{"get", "k", ""}
	load := operation{"load", "k", "loaded"}
	for name, c := range map[string]struct {
		first  operation
		second operation
		out    string
		third  operation
		last   string
		want   bool
	}{
		"a value that was set":              {set, get, "new", get, "new", true},
		"a value that was set is gone":      {set, get, "new", get, "", false},
		"a value from nowhere":              {set, get, "other", get, "new", false},
		"a value that was invalidated":      {set, invalidate, "", get, "new", false},
		"a load":                            {invalidate, load, "loaded", get, "loaded", true},
		"a load over a value":               {set, load, "loaded", get, "loaded", false},
		"a load that found a value":         {set, load, "new", get, "new", true},
		"a load's value after invalidation": {load, invalidate, "", get, "loaded", false},
	} {
		first := porcupine.Operation{Input: c.first, Output: c.first.value, Call: 1, Return: 2}
		second := porcupine.Operation{Input: c.second, Output: c.out, Call: 3, Return: 4}
		third := porcupine.Operation{Input: c.third, Output: c.last, Call: 5, Return: 6}
		if got := linearizable([]porcupine.Operation{first, second, third}); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
