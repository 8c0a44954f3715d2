package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/cache/cachetest"
)

// eachTierAndWay runs a test with one tier and with two, and with each way to declare
// values wrong that names no key.
func eachTierAndWay(t *testing.T, test func(t *testing.T, o cache.Options[string, string], declare func(*testing.T, wide))) {
	bothWays(t, func(t *testing.T, declare func(*testing.T, wide)) {
		bothTiers(t, func(t *testing.T, o cache.Options[string, string]) {
			o.Tags = words
			test(t, o, declare)
		})
	})
}

// TestTagIsInvalidatedDuringLoad: only the loaded value tells that it has the tag.
func TestTagIsInvalidatedDuringLoad(t *testing.T) {
	eachTierAndWay(t, func(t *testing.T, o cache.Options[string, string], declare func(*testing.T, wide)) {
		c := newCache(t, o)
		var src source
		finish := loadLate(t, c, &src)
		src.write()
		declare(t, c)
		if v := finish(); v != "v0" {
			t.Fatalf("the waiter got %q", v)
		}
		synctest.Wait()
		if st := c.Stats(); st.DoomedFills != 1 || st.Fills != 0 || st.LocalEntries != 0 {
			t.Fatalf("stats: %+v", st)
		}
		if r, ok := o.Remote.(*cachetest.Remote); ok && r.Calls("fill") != 0 {
			t.Fatal("the old value was sent to the remote tier")
		}
		wantMiss(t, c, "k")
		wantLoad(t, c, "k", src.load, "v1")
		wantLoad(t, c, "k", loading(t), "v1")
	})
}

// TestLaterCallerDoesNotGetTheOldLoad: the flight is not doomed when he joins it.
func TestLaterCallerDoesNotGetTheOldLoad(t *testing.T) {
	eachTierAndWay(t, func(t *testing.T, o cache.Options[string, string], declare func(*testing.T, wide)) {
		c := newCache(t, o)
		var src source
		finish := loadLate(t, c, &src)
		early := call(t, func() (string, error) { return c.GetOrLoad(t.Context(), "k", src.load) })
		synctest.Wait()
		src.write()
		declare(t, c)
		later := call(t, func() (string, error) { return c.GetOrLoad(t.Context(), "k", src.load) })
		synctest.Wait()
		if v := finish(); v != "v0" {
			t.Errorf("the first caller got %q", v)
		}
		if v := <-early; v != "v0" {
			t.Errorf("the early caller got %q", v)
		}
		if v := <-later; v != "v1" {
			t.Errorf("the later caller got %q", v)
		}
		wantLoad(t, c, "k", loading(t), "v1")
	})
}

// TestLaterCallersShareOneLoad: however many they are, when the old load ends.
func TestLaterCallersShareOneLoad(t *testing.T) {
	eachTierAndWay(t, func(t *testing.T, o cache.Options[string, string], declare func(*testing.T, wide)) {
		c := newCache(t, o)
		var src source
		finish := loadLate(t, c, &src)
		src.write()
		declare(t, c)
		var got []<-chan string
		for range 100 {
			got = append(got, call(t, func() (string, error) {
				return c.GetOrLoad(t.Context(), "k", func(c ctx, key string) (string, error) {
					time.Sleep(time.Second)
					return src.load(c, key)
				})
			}))
		}
		synctest.Wait()
		finish()
		for _, v := range got {
			if v := <-v; v != "v1" {
				t.Errorf("a later caller got %q", v)
			}
		}
		if n := src.loads.Load(); n != 2 {
			t.Fatalf("%d loads, want one before and one after", n)
		}
		wantLoad(t, c, "k", loading(t), "v1")
	})
}

// TestLaterCallerDoesNotGetTheOldRead: the flight has judged the record, and not
// returned yet.
func TestLaterCallerDoesNotGetTheOldRead(t *testing.T) {
	for _, remotely := range []bool{false, true} {
		inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
			s, a, _ := taggedPair(t)
			var src source
			wantLoad(t, a, "k", src.load, "v0")
			codec := newSlowCodec()
			o := tagged(nil)
			o.Codec = codec
			b := newInstanceWith(t, s, o)
			early := call(t, func() (string, error) { return b.GetOrLoad(t.Context(), "k", src.load) })
			<-codec.read
			get := call(t, func() (string, error) { return b.Get(t.Context(), "other") })
			if v := <-get; v != cache.ErrMiss.Error() {
				t.Fatal(v)
			}
			src.write()
			by := b
			if remotely {
				by = a
			}
			declare(t, by)
			synctest.Wait()
			later := call(t, func() (string, error) { return b.GetOrLoad(t.Context(), "k", src.load) })
			synctest.Wait()
			close(codec.finish)
			if v := <-early; v != "v0" {
				t.Errorf("the early caller got %q", v)
			}
			if v := <-later; v != "v1" {
				t.Errorf("the later caller got %q", v)
			}
			synctest.Wait() // the fill
			wantGet(t, a, "k", "v1")
			wantGet(t, b, "k", "v1")
		})
	}
}

// The same with Get, which has flights of its own.
func TestLaterGetDoesNotGetTheOldRead(t *testing.T) {
	inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
		s, a, _ := taggedPair(t)
		wantLoad(t, a, "k", constant("old"), "old")
		codec := newSlowCodec()
		o := tagged(nil)
		o.Codec = codec
		b := newInstanceWith(t, s, o)
		early := call(t, func() (string, error) { return b.Get(t.Context(), "k") })
		<-codec.read
		declare(t, b)
		later := call(t, func() (string, error) { return b.Get(t.Context(), "k") })
		synctest.Wait()
		close(codec.finish)
		if v := <-early; v != "old" {
			t.Errorf("the early caller got %q", v)
		}
		if v := <-later; v != cache.ErrMiss.Error() {
			t.Errorf("the later caller got %q", v)
		}
		if n := b.Stats().LocalEntries; n != 0 {
			t.Errorf("%d old values take up space", n)
		}
		wantMiss(t, b, "k")
	})
}

// TestAnotherInstanceInvalidatesTagDuringLoad: the loading instance is told before the
// load ends, or after.
func TestAnotherInstanceInvalidatesTagDuringLoad(t *testing.T) {
	for _, told := range []string{"in time", "late"} {
		t.Run(told, func(t *testing.T) {
			inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
				s, a, b := taggedPair(t)
				if told == "late" {
					slowLog(t, a, late)
				}
				var src source
				finish := loadLate(t, a, &src)
				src.write()
				declare(t, b)
				synctest.Wait()
				later := call(t, func() (string, error) { return a.GetOrLoad(t.Context(), "k", src.load) })
				synctest.Wait()
				if v := finish(); v != "v0" {
					t.Errorf("the waiter got %q", v)
				}
				if v := <-later; v != "v1" && told == "in time" {
					t.Errorf("who came after the entry got %q", v)
				}
				synctest.Wait()
				wantLoad(t, b, "k", src.load, "v1")
				wantGet(t, newTagged(t, s), "k", "v1")
				deliver(late)
				wantLoad(t, a, "k", src.load, "v1")
			})
		})
	}
}

// TestWaitForAnOldLoad: B waits for the load of A, when B is told that it is too old.
func TestWaitForAnOldLoad(t *testing.T) {
	inEachWay(t, func(t *testing.T, declare func(*testing.T, wide)) {
		_, a, b := taggedPair(t)
		var src source
		finish := loadLate(t, a, &src)
		slowLog(t, a, late) // it fills all the same
		early := call(t, func() (string, error) { return b.GetOrLoad(t.Context(), "k", src.load) })
		synctest.Wait()
		src.write()
		declare(t, b)
		later := call(t, func() (string, error) { return b.GetOrLoad(t.Context(), "k", src.load) })
		synctest.Wait()
		finish()
		for _, v := range []string{<-early, <-later} {
			if v != "v1" {
				t.Errorf("a waiter got %q", v)
			}
		}
		deliver(late)
		wantGet(t, a, "k", "v1")
	})
}
