package cache

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestLately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k known
		lately := func(tags ...string) bool { return k.lately(tags, time.Now(), time.Second) }
		if k.lately([]string{"t"}, time.Now(), 0) || lately("t") {
			t.Error("nothing was dropped")
		}
		k.drop("t")
		for _, after := range []time.Duration{0, time.Second - 1} {
			time.Sleep(after)
			if !lately("u", "t") || lately("u") || lately() {
				t.Errorf("%v after the drop: %v, of another tag %v", after, lately("u", "t"), lately("u"))
			}
		}
		time.Sleep(time.Nanosecond)
		if lately("t") {
			t.Error("a hold goes on after its end")
		}
		if !k.lately([]string{"t"}, time.Now().Add(-1), time.Second) {
			t.Error("what began within the hold does not count")
		}
		k.drop("")
		if !lately() || !lately("u") {
			t.Error("the whole cache does not count")
		}
		time.Sleep(time.Second)
		k.begin(Position{}, false)
		if !lately("t") {
			t.Error("a tag may have been dropped before the log was read")
		}
		time.Sleep(time.Second)
		k.lose()
		k.begin(Position{}, true)
		if lately("t") {
			t.Error("nothing was missed")
		}
	})
}

// However many other tags are dropped within the hold.
func TestLatelyOfManyTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k known
		k.drop("t")
		for i := range maxKnownTags + 1 {
			k.drop(fmt.Sprint(i))
		}
		if !k.lately([]string{"t"}, time.Now(), time.Second) {
			t.Error("the drop of a tag is forgotten within the hold")
		}
		time.Sleep(time.Second)
		if k.lately([]string{"t"}, time.Now(), time.Second) {
			t.Error("the hold has no end")
		}
	})
}

func TestBannedKeysAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b banned
		name := strconv.Itoa
		b.hold([]string{name(1)}, 0)
		if b.any.Load() {
			t.Error("a hold of no time bans something")
		}
		for round := range 50 {
			for i := range 1000 {
				b.hold([]string{name(round*1000 + i)}, time.Second)
			}
			if !b.has(name(round*1000)) || !b.has(name(round*1000+999)) {
				t.Fatal("a key that is held is not banned")
			}
			time.Sleep(time.Second)
			if b.has(name(round * 1000)) {
				t.Fatal("a key is banned after its hold")
			}
			if n := len(b.held); n > 2000 {
				t.Fatalf("%d keys are remembered, of 1000 that are held", n)
			}
		}
		b.hold([]string{name(-1)}, time.Minute)
		for i := range 10_000 {
			b.hold([]string{name(i)}, time.Second)
		}
		if !b.has(name(-1)) {
			t.Error("a long hold is forgotten among many short ones")
		}
		b.add([]string{name(-2), name(-2)})
		b.remove([]string{name(-2)})
		if !b.has(name(-2)) {
			t.Error("the first of two ends the ban of the second")
		}
		b.remove([]string{name(-2)})
		if b.has(name(-2)) {
			t.Error("a ban goes on after its end")
		}
	})
}

// However few they are, and though nobody asks for them: the log tells of keys that this
// instance has never seen.
func TestBannedKeysOfOthersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b banned
		for i := range 100 {
			b.hold([]string{strconv.Itoa(i)}, time.Second)
			time.Sleep(100 * time.Millisecond)
			if n := len(b.held); n > 20 {
				t.Fatalf("%d keys are remembered, of 10 that are held", n)
			}
		}
		b.add([]string{"mutated"})
		if !b.has("mutated") || b.has("another") || !b.has("99") {
			t.Error("the wrong keys are banned")
		}
		time.Sleep(time.Second)
		if b.has("another") || len(b.held) > 0 || !b.any.Load() {
			t.Errorf("%d keys are remembered, and none is held; any is %v, and one is mutated", len(b.held), b.any.Load())
		}
		b.remove([]string{"mutated"})
		if b.any.Load() {
			t.Error("none is banned, and reads go on asking")
		}
		b.hold([]string{"last"}, time.Second)
		time.Sleep(time.Second - 1)
		if !b.has("last") {
			t.Error("a hold ends early")
		}
		time.Sleep(time.Nanosecond)
		if b.has("another") || b.any.Load() {
			t.Error("reads go on asking after the last hold")
		}
	})
}
