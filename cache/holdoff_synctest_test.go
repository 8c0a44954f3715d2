package cache_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
	"github.com/nearside-go/nearside/cache/remote"
)

// replicated is a source that is read from a replica: reads return what was written
// lag ago.
type replicated struct {
	lag time.Duration

	mu     sync.Mutex // guards all below
	writes []time.Time
}

func (r *replicated) write() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, time.Now())
}

func (r *replicated) load(ctx, string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := time.Now().Add(-r.lag)
	n := slices.IndexFunc(r.writes, func(at time.Time) bool { return at.After(seen) })
	if n < 0 {
		n = len(r.writes)
	}
	return fmt.Sprint("v", n), nil
}

// slowly reads at once and returns later.
func (r *replicated) slowly(c ctx, key string) (string, error) {
	v, err := r.load(c, key)
	time.Sleep(r.lag / 3)
	return v, err
}

const lag = 900 * time.Millisecond

func heldOff(remote remote.Tier) cache.Options[string, string] {
	o := tagged(remote)
	o.HoldOff = time.Second
	return o
}

// holds are all that a HoldOff counts from.
var holds = map[string]func(*testing.T, *cache.Cache[string, string]) error{
	"Invalidate": func(t *testing.T, c *cache.Cache[string, string]) error { return c.Invalidate(t.Context(), "k") },
	"Mutate": func(t *testing.T, c *cache.Cache[string, string]) error {
		return c.Mutate(t.Context(), []string{"k"}, func(ctx) error { return nil })
	},
	"tag": func(t *testing.T, c *cache.Cache[string, string]) error { return c.InvalidateTags(t.Context(), "any") },
	"all": func(t *testing.T, c *cache.Cache[string, string]) error { return c.InvalidateAll(t.Context()) },
}

// keepReading reads through all of readers for three lags. Once the replica has caught
// up, and the loads are over that began before, nobody may get an old value.
func keepReading(t *testing.T, src *replicated, want string, readers func() []getter) {
	t.Helper()
	start := time.Now()
	for time.Since(start) < 3*lag {
		caughtUp := time.Since(start) >= lag+lag/3
		var got []<-chan string
		for _, c := range readers() {
			for _, load := range []func(ctx, string) (string, error){src.load, src.slowly} {
				got = append(got, call(t, func() (string, error) { return c.GetOrLoad(t.Context(), "k", load) }))
			}
			got = append(got, call(t, func() (string, error) { return c.GetOrLoad(t.Context(), "k", src.load) }))
		}
		time.Sleep(lag / 20)
		for _, v := range got {
			if !caughtUp {
				continue
			}
			if v := <-v; v != want {
				t.Fatalf("%v after the write somebody got %q", time.Since(start), v)
			}
		}
	}
	for _, c := range readers() {
		wantLoad(t, c, "k", src.load, want)
		wantGet(t, c, "k", want)
	}
}

// TestHoldOff: with every way to declare the value wrong, and whatever the state of
// the remote tier, a replica that lags leaves nothing behind.
func TestHoldOff(t *testing.T) {
	faults := map[string]func(string) cachetest.Fault{
		"remote up":   nil,
		"remote slow": delayed(map[string]time.Duration{"log": late, "delete": 2 * time.Millisecond, "get": time.Millisecond}),
		"remote down": down,
		"reads fail":  on("get", cachetest.Fault{Err: errDown}),
		"loads alone": on("lease", cachetest.Fault{Err: errDown}),
		"writes fail": on("append", cachetest.Fault{Err: errDown}),
	}
	for name, declare := range holds {
		for state, fault := range faults {
			t.Run(name+", "+state, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := cachetest.NewServer()
					o := heldOff(nil)
					a, b := newInstanceWith(t, s, o), newInstanceWith(t, s, o)
					time.Sleep(2 * o.HoldOff) // both have long been there
					src := &replicated{lag: lag}
					wantLoad(t, a, "k", src.load, "v0")
					wantLoad(t, b, "k", src.load, "v0")
					a.remote.Inject(fault)
					t.Cleanup(func() { a.remote.Inject(nil); deliver(ttl) })
					early := call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "other", src.slowly) })
					src.write()
					err := declare(t, a.Cache)
					readers := []getter{a}
					if err == nil {
						readers = append(readers, b)
					}
					keepReading(t, src, "v1", func() []getter { return readers })
					<-early
				})
			})
		}
		t.Run(name+", local only", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, heldOff(nil))
				src := &replicated{lag: lag}
				wantLoad(t, c, "k", src.load, "v0")
				src.write()
				if err := declare(t, c); err != nil {
					t.Fatal(err)
				}
				keepReading(t, src, "v1", func() []getter { return []getter{c} })
			})
		})
	}
}

// TestHoldOffForWhoStartsMeanwhile: an instance that starts within the hold.
func TestHoldOffForWhoStartsMeanwhile(t *testing.T) {
	for kind, tags := range map[string]func(string, string) []string{"tagged": words, "untagged": nil} {
		for name, declare := range holds {
			if name == "tag" && tags == nil {
				continue
			}
			t.Run(name+" "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := cachetest.NewServer()
					o := heldOff(nil)
					o.Tags = tags
					a := newInstanceWith(t, s, o)
					time.Sleep(2 * o.HoldOff)
					src := &replicated{lag: lag}
					wantLoad(t, a, "k", src.load, "v0")
					src.write()
					if err := declare(t, a.Cache); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					time.Sleep(lag / 2)
					later := newInstanceWith(t, s, o)
					wantLoad(t, later, "k", src.load, "v0")
					time.Sleep(lag/2 + time.Second) // 1 s of hold for who started now
					for _, c := range []*instance{later, a, newInstanceWith(t, s, o)} {
						wantLoad(t, c, "k", src.load, "v1")
					}
				})
			})
		}
	}
}

// TestHoldOffForWhoIsNotToldYet: its own entry comes after the one that it is not told
// of yet, or cannot be told of while it is cut off.
func TestHoldOffForWhoIsNotToldYet(t *testing.T) {
	for name, declare := range holds {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", cut off: ", cut), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := cachetest.NewServer()
					o := heldOff(nil)
					a, b := newInstanceWith(t, s, o), newInstanceWith(t, s, o)
					time.Sleep(2 * o.HoldOff)
					src := &replicated{lag: lag}
					slowLog(t, b, late)
					if cut {
						b.remote.CutLog()
					}
					src.write()
					if err := declare(t, a.Cache); err != nil {
						t.Fatal(err)
					}
					invalidate(t, b, "another")
					wantLoad(t, b, "k", src.load, "v0")
					time.Sleep(2 * lag)
					if cut {
						b.remote.MendLog()
					}
					deliver(late)
					for _, c := range []*instance{a, b, newInstanceWith(t, s, o)} {
						wantLoad(t, c, "k", src.load, "v1")
					}
				})
			})
		}
	}
}

// While a key is held off, others are stored as ever; so are values without the tag.
func TestHoldOffConcernsNoOthers(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.Tags, o.HoldOff = words, time.Second
		c := newCache(t, o)
		time.Sleep(2 * time.Second)
		invalidate(t, c, "k")
		invalidateTags(t, c, "red")
		wantLoad(t, c, "k", constant("v"), "v")
		wantMiss(t, c, "k")
		wantLoad(t, c, "r", constant("v red"), "v red")
		wantMiss(t, c, "r")
		wantLoad(t, c, "other", constant("v blue"), "v blue")
		wantGet(t, c, "other", "v blue")
		if err := c.Set(t.Context(), "other", "set"); err != nil {
			t.Fatal(err)
		}
		wantGet(t, c, "other", "set")
		time.Sleep(time.Second)
		wantLoad(t, c, "k", constant("v"), "v")
		wantGet(t, c, "k", "v")
		wantLoad(t, c, "r", constant("v red"), "v red")
		wantGet(t, c, "r", "v red")
	})
}

// Each invalidation counts anew, and the last one decides.
func TestHoldOffCountsFromTheLast(t *testing.T) {
	bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
		o.Tags, o.HoldOff = words, time.Second
		c := newCache(t, o)
		time.Sleep(2 * time.Second)
		for range 5 {
			invalidate(t, c, "k")
			invalidateTags(t, c, "red")
			time.Sleep(700 * time.Millisecond)
			wantLoad(t, c, "k", constant("v"), "v")
			wantLoad(t, c, "r", constant("v red"), "v red")
			wantMiss(t, c, "k")
			wantMiss(t, c, "r")
		}
		time.Sleep(300 * time.Millisecond)
		wantLoad(t, c, "k", constant("v"), "v")
		wantLoad(t, c, "r", constant("v red"), "v red")
		wantGet(t, c, "k", "v")
		wantGet(t, c, "r", "v red")
	})
}

// A load that begins within the hold and ends after it may have read the old value.
func TestLoadThatOutlastsTheHoldOff(t *testing.T) {
	for name, declare := range holds {
		bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
			o.Tags, o.HoldOff = words, time.Second
			c := newCache(t, o)
			time.Sleep(2 * time.Second)
			if err := declare(t, c); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			time.Sleep(time.Second - 1)
			finish := loadLate(t, c, &source{})
			time.Sleep(time.Second)
			finish()
			synctest.Wait()
			if v, err := c.Get(t.Context(), "k"); err != cache.ErrMiss {
				t.Errorf("after %s the load was stored: %q, %v", name, v, err)
			}
		})
	}
}
