package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nearside-go/nearside/cache/remote"
)

// TestKeyIndexIsBounded: an add does little, whatever there is, and what is held is found.
func TestKeyIndexIsBounded(t *testing.T) {
	for name, holds := range map[string]struct {
		keys int // of them, the first so many are held
		most int // names at a time
	}{
		"few":  {100, 400},
		"most": {60_000, 100_000},
		"all":  {100_000, 100_000},
		"none": {0, 200},
	} {
		t.Run(name, func(t *testing.T) {
			var x keyIndex[int]
			looks, most := 0, 0
			held := func(k int) bool { looks++; return k < holds.keys }
			const keys = 100_000
			for i := range keys {
				before := looks
				x.add(fmt.Sprint(i), i, held)
				if looks-before > looksPerAdd {
					t.Fatalf("an add looks at %d keys", looks-before)
				}
				if k, ok := x.find(fmt.Sprint(i)); !ok || k != i {
					t.Fatalf("key %d is lost at once", i)
				}
				most = max(most, len(x.named))
			}
			if most > holds.most || len(x.places) != len(x.named) {
				t.Errorf("%d names at most, want %d", most, holds.most)
			}
			for i := range holds.keys {
				if k, ok := x.find(fmt.Sprint(i)); !ok || k != i {
					t.Fatalf("key %d is held, and not found: %d, %v", i, k, ok)
				}
			}
			if _, ok := x.find("none"); ok {
				t.Error("a key is found that never was there")
			}
		})
	}
}

// TestKeyIndexBesideAModel: keys come to be held and go, in any order.
func TestKeyIndexBesideAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x keyIndex[int]
		held := make(map[int]bool)
		most := 0 // ever held
		for range rapid.IntRange(1, 300).Draw(t, "adds") {
			k := rapid.IntRange(0, 50).Draw(t, "key")
			x.add(fmt.Sprint(k), k, func(k int) bool { return held[k] })
			held[k] = true
			delete(held, rapid.IntRange(0, 100).Draw(t, "gone"))
			most = max(most, len(held))
			for k := range held {
				if got, ok := x.find(fmt.Sprint(k)); !ok || got != k {
					t.Fatalf("key %d is held, and not found: %d, %v", k, got, ok)
				}
			}
			if len(x.named) > 2*most+looksPerAdd || len(x.places) != len(x.named) {
				t.Fatalf("%d names, %d places, of %d keys", len(x.named), len(x.places), most)
			}
		}
	})
}

// silent is a Remote that fails, and has a log without entries.
type silent struct{ remote.Tier }

func (silent) Budget() time.Duration                         { return time.Second }
func (silent) Observed(string) remote.Position               { return remote.Position{} }
func (silent) Delivered(string) (remote.Position, time.Time) { return remote.Position{}, time.Now() }
func (silent) Get(context.Context, string, bool) (remote.Record, error) {
	return remote.Record{}, errors.New("down")
}
func (silent) Follow(_ string, f remote.Follower) (func(), error) {
	f.Since(remote.Position{}, false)
	return func() {}, nil
}

// standsIn reports whether a goroutine is in a function of that name.
func standsIn(name string) bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), name)
}

// TestNameOfAFlightThatEnds: while an add looks at a name, its flight stores its value
// and ends. Whether a key is in the local tier must be asked after whether it has a
// flight:
//
//  1. The key is not in the local tier.
//  2. Its flight stores the value there, and ends.
//  3. The key has no flight.
//
// Then it is forgotten, and no entry of the log drops the copy.
func TestNameOfAFlightThatEnds(t *testing.T) {
	type key struct{ n int }
	c, err := New(Options[key, string]{
		Name: "test", TTL: time.Minute, Remote: silent{},
		Key: func(k key) string { return fmt.Sprint(k.n) },
	})
	if err != nil {
		t.Fatal(err)
	}
	load := func(k key, load func(context.Context, key) (string, error)) {
		if _, err := c.GetOrLoad(t.Context(), k, load); err != nil {
			t.Error(err)
		}
	}
	late := key{-1}
	read, finish, stored := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stored)
		load(late, func(context.Context, key) (string, error) {
			close(read)
			<-finish
			return "v", nil
		})
	}()
	<-read

	// An add that looks at the name gets as far as the flights of late, and not further.
	blocked, release := make(chan struct{}), make(chan struct{})
	go c.reads.DoomAnd(key{-2}, func() {
		close(blocked)
		<-release
	})
	<-blocked
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		c.indexKey(key{-3})
	}()
	for !standsIn("]).Has(") {
		runtime.Gosched()
	}
	close(finish)
	<-stored
	for c.loads.Has(late) {
		runtime.Gosched()
	}
	close(release)
	<-looked

	if _, ok := c.local.Peek(late); !ok {
		t.Fatal("the value is not stored")
	}
	follower[key, string]{c}.Invalidated("test:0:-1", remote.Position{Time: 1}, false)
	if _, ok := c.local.Peek(late); ok {
		t.Error("an invalidation by another instance did not drop the copy")
	}
	_ = c.Close()
}
