package guard

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeysAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Keys
		name := strconv.Itoa
		b.Hold([]string{name(1)}, 0)
		if b.Any() {
			t.Error("a hold of no time guards something")
		}
		for round := range 50 {
			for i := range 1000 {
				b.Hold([]string{name(round*1000 + i)}, time.Second)
			}
			if !b.Has(name(round*1000)) || !b.Has(name(round*1000+999)) {
				t.Fatal("a key that is held is not guarded")
			}
			time.Sleep(time.Second)
			if b.Has(name(round * 1000)) {
				t.Fatal("a key is guarded after its hold")
			}
			if n := len(b.held); n > 2000 {
				t.Fatalf("%d keys are remembered, of 1000 that are held", n)
			}
		}
		b.Hold([]string{name(-1)}, time.Minute)
		for i := range 10_000 {
			b.Hold([]string{name(i)}, time.Second)
		}
		if !b.Has(name(-1)) {
			t.Error("a long hold is forgotten among many short ones")
		}
		b.Add([]string{name(-2), name(-2)})
		b.Remove([]string{name(-2)})
		if !b.Has(name(-2)) {
			t.Error("the first of two ends the guard of the second")
		}
		b.Remove([]string{name(-2)})
		if b.Has(name(-2)) {
			t.Error("a guard goes on after its end")
		}
	})
}

// However few they are, and though nobody asks for them: the log tells of keys that this
// instance has never seen.
func TestKeysOfOthersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Keys
		for i := range 100 {
			b.Hold([]string{strconv.Itoa(i)}, time.Second)
			time.Sleep(100 * time.Millisecond)
			if n := len(b.held); n > 20 {
				t.Fatalf("%d keys are remembered, of 10 that are held", n)
			}
		}
		b.Add([]string{"mutated"})
		if !b.Has("mutated") || b.Has("another") || !b.Has("99") {
			t.Error("the wrong keys are guarded")
		}
		time.Sleep(time.Second)
		if b.Has("another") || len(b.held) > 0 || !b.Any() {
			t.Errorf("%d keys are remembered, and none is held; any is %v, and one is mutated", len(b.held), b.Any())
		}
		b.Remove([]string{"mutated"})
		if b.Any() {
			t.Error("none is guarded, and reads go on asking")
		}
		b.Hold([]string{"last"}, time.Second)
		time.Sleep(time.Second - 1)
		if !b.Has("last") {
			t.Error("a hold ends early")
		}
		time.Sleep(time.Nanosecond)
		if b.Has("another") || b.Any() {
			t.Error("reads go on asking after the last hold")
		}
	})
}
