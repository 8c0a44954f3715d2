package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/local"
)

func TestNamesAreBounded(t *testing.T) {
	var n names[int]
	held := func(k int) bool { return k < 100 }
	most := 0
	for i := range 100_000 {
		n.add(fmt.Sprint(i), i, held)
		most = max(most, len(n.keys))
	}
	if most > 2000 {
		t.Errorf("%d names are remembered, of 100 keys that are held", most)
	}
	for i := range 100 {
		if k, ok := n.find(fmt.Sprint(i)); !ok || k != i {
			t.Fatalf("key %d is held, and forgotten: %d, %v", i, k, ok)
		}
	}
	if k, ok := n.find(fmt.Sprint(99_999)); !ok || k != 99_999 {
		t.Error("the last key is forgotten")
	}
	if _, ok := n.find("none"); ok {
		t.Error("a key is found that never was there")
	}
}

// When all is held, nothing is forgotten, and it is not looked through each time.
func TestNamesThatAreAllHeld(t *testing.T) {
	var n names[int]
	looks := 0
	const keys = 20_000
	for i := range keys {
		n.add(fmt.Sprint(i), i, func(int) bool { looks++; return true })
	}
	if len(n.keys) != keys || looks > 3*keys {
		t.Errorf("%d of %d names are left, after %d looks", len(n.keys), keys, looks)
	}
}

// silent is a Remote that fails, and has a log without entries.
type silent struct{ Remote }

func (silent) Budget() time.Duration                       { return time.Second }
func (silent) Position(string) Position                    { return Position{} }
func (silent) Told(string) (Position, time.Time)           { return Position{}, time.Now() }
func (silent) Get(context.Context, string) (Record, error) { return Record{}, errors.New("down") }
func (silent) Follow(_ string, f Follower) (func(), error) {
	f.Since(Position{}, false)
	return func() {}, nil
}

// standsIn reports whether a goroutine is in a function of that name.
func standsIn(name string) bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), name)
}

// TestNameOfAFlightThatEnds: while names are looked through, a flight stores its value
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
	const keys = 1023 // and the two of the test: names are looked through at the last
	c, err := New(Options[key, string]{
		Name: "test", TTL: time.Minute, Remote: silent{},
		Local: local.Options{MaxEntries: 100 * keys},
		Key:   func(k key) string { return fmt.Sprint(k.n) },
	})
	if err != nil {
		t.Fatal(err)
	}
	value := func(context.Context, key) (string, error) { return "v", nil }
	load := func(k key, load func(context.Context, key) (string, error)) {
		if _, err := c.GetOrLoad(t.Context(), k, load); err != nil {
			t.Error(err)
		}
	}
	for i := range keys - 1 {
		load(key{i}, value) // is held, so that it is not asked for
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

	// Who looks through the names gets as far as the flights of late, and not further.
	blocked, release := make(chan struct{}), make(chan struct{})
	go c.reads.DoomAnd(key{-2}, func() {
		close(blocked)
		<-release
	})
	<-blocked
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		c.remember(key{-3})
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

	if n := len(c.names.keys); n < keys || n > keys+1 {
		t.Fatalf("%d names are left: they were not looked through when it was due", n)
	}
	if _, ok := c.local.Peek(late); !ok {
		t.Fatal("the value is not stored")
	}
	follower[key, string]{c}.Invalidated("test:0:-1", Position{Time: 1}, false)
	if _, ok := c.local.Peek(late); ok {
		t.Error("an invalidation by another instance did not drop the copy")
	}
	_ = c.Close()
}
