package bench_test

import (
	"context"
	"encoding/json"
	"flag"
	"runtime"
	"strconv"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/local"
)

var (
	playing = flag.String("play", "", "what TestPlay calls")
	calls   = flag.Int("calls", 1000, "how many calls TestPlay makes")
)

// TestPlay makes calls of one kind, one after the other, for scripts/instructions, which counts
// the processor's instructions. Without -play it makes a few calls of each kind.
func TestPlay(t *testing.T) {
	if *playing == "" {
		for name, call := range plays() {
			t.Run(name, func(t *testing.T) { repeat(10, call(t)) })
		}
		return
	}
	runtime.GOMAXPROCS(1)
	call, ok := plays()[*playing]
	if !ok {
		t.Fatalf("-play is %q", *playing)
	}
	repeat(*calls, call(t))
}

func repeat(calls int, call func(int)) {
	for i := range calls {
		call(i)
	}
}

// plays are what TestPlay can call. Each prepares its calls. The test ends when all fills have ended.
func plays() map[string]func(testing.TB) func(int) {
	ctx, ks := context.Background(), keys()
	all := map[string]func(testing.TB) func(int){
		"redis-hit": func(t testing.TB) func(int) {
			c, _ := twoTiers(t, cache.Options[string, user]{Local: local.Options{MaxEntries: 1}})
			for _, k := range ks {
				_, err := c.GetOrLoad(ctx, k, load)
				must(t, err)
			}
			return func(i int) { _, _ = c.GetOrLoad(ctx, ks[i&(keyCount-1)], load) }
		},
		"bare-redis-hit": func(t testing.TB) func(int) {
			_, client := twoTiers(t, cache.Options[string, user]{})
			encoded, err := json.Marshal(sample)
			must(t, err)
			must(t, client.Set(ctx, "k", encoded, time.Hour).Err())
			return func(int) {
				var u user
				data, _ := client.Get(ctx, "k").Bytes()
				_ = json.Unmarshal(data, &u)
			}
		},
		"miss": func(t testing.TB) func(int) {
			c, _ := twoTiers(t, cache.Options[string, user]{})
			return func(i int) { _, _ = c.GetOrLoad(ctx, strconv.Itoa(i), load) }
		},
		"bare-miss": func(t testing.TB) func(int) {
			_, client := twoTiers(t, cache.Options[string, user]{})
			return func(i int) {
				_ = client.Get(ctx, strconv.Itoa(i)).Err()
				data, _ := json.Marshal(sample)
				_ = client.Set(ctx, strconv.Itoa(i), data, time.Hour).Err()
			}
		},
	}
	for name, order := range orders() {
		if name == "" {
			name = "in-turn/"
		}
		all[name+"local-hit"] = func(t testing.TB) func(int) {
			c, _ := twoTiers(t, cache.Options[string, user]{})
			for _, k := range ks {
				_, err := c.GetOrLoad(ctx, k, load)
				must(t, err)
			}
			return func(i int) { _, _ = c.GetOrLoad(ctx, ks[order[i&(len(order)-1)]], load) }
		}
		all[name+"golang-lru"] = func(t testing.TB) func(int) {
			bare, err := lru.New[string, user](local.DefaultMaxEntries)
			must(t, err)
			for _, k := range ks {
				bare.Add(k, sample)
			}
			return func(i int) { _, _ = bare.Get(ks[order[i&(len(order)-1)]]) }
		}
	}
	return all
}
