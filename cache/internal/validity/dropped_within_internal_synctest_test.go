package validity

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

func TestDroppedWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k Invalidations
		within := func(tags ...string) bool { return k.DroppedWithin(tags, time.Now(), time.Second) }
		if k.DroppedWithin([]string{"t"}, time.Now(), 0) || within("t") {
			t.Error("nothing was dropped")
		}
		k.Drop("t")
		for _, after := range []time.Duration{0, time.Second - 1} {
			time.Sleep(after)
			if !within("u", "t") || within("u") || within() {
				t.Errorf("%v after the drop: %v, of another tag %v", after, within("u", "t"), within("u"))
			}
		}
		time.Sleep(time.Nanosecond)
		if within("t") {
			t.Error("a hold goes on after its end")
		}
		if !k.DroppedWithin([]string{"t"}, time.Now().Add(-1), time.Second) {
			t.Error("what began within the hold does not count")
		}
		k.Drop("")
		if !within() || !within("u") {
			t.Error("the whole cache does not count")
		}
		time.Sleep(time.Second)
		k.Follow(remote.Position{}, false)
		if !within("t") {
			t.Error("a tag may have been dropped before the log was read")
		}
		time.Sleep(time.Second)
		k.Unfollow()
		k.Follow(remote.Position{}, true)
		if within("t") {
			t.Error("nothing was missed")
		}
	})
}

// However many other tags are dropped within the hold.
func TestDroppedWithinOfManyTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k Invalidations
		k.Drop("t")
		for i := range MaxTags + 1 {
			k.Drop(fmt.Sprint(i))
		}
		if !k.DroppedWithin([]string{"t"}, time.Now(), time.Second) {
			t.Error("the drop of a tag is forgotten within the hold")
		}
		time.Sleep(time.Second)
		if k.DroppedWithin([]string{"t"}, time.Now(), time.Second) {
			t.Error("the hold has no end")
		}
	})
}
