package redis

import (
	"strconv"
	"testing"
)

// A read that comes late to its turn says nothing about Redis, unless round trips have ended
// without replies since it was queued, and none with.
func TestWhetherAQueuedReadShowsThatRedisHangs(t *testing.T) {
	for _, c := range []struct {
		name    string
		largest int // of the round trip that ends meanwhile, if one does
		ends    bool
		hung    bool
	}{
		{"no round trip has ended", 0, false, false},
		{"one has ended without replies", 0, true, true},
		{"one has ended with replies", 10, true, false},
	} {
		j := joined{size: 10}
		for range maxTrips {
			if j.enter(recordRead{}) != nil {
				t.Fatal("a read is queued although few are under way")
			}
		}
		first, late := j.enter(recordRead{}), j.enter(recordRead{})
		if c.ends {
			j.leave(c.largest, nil)
			if batch := <-first.lead; len(batch) != 2 {
				t.Fatalf("%d reads are sent, want 2", len(batch))
			}
		}
		if _, hung := j.giveUp(late); hung != c.hung {
			t.Errorf("%s: hung is %v", c.name, hung)
		}
	}
}

// A large record ends the joining of those that are queued, and of those that come later,
// until enough small ones were read.
func TestHowManyReadsShareARoundTrip(t *testing.T) {
	for _, large := range []int{maxJoinedBytes/2 + 1, maxJoinedBytes, 10 * maxJoinedBytes} {
		t.Run(strconv.Itoa(large), func(t *testing.T) { sharesAfter(t, large) })
	}
}

func sharesAfter(t *testing.T, large int) {
	j := joined{size: 100}
	for range maxTrips {
		j.enter(recordRead{})
	}
	waits := []*joinedRead{j.enter(recordRead{}), j.enter(recordRead{}), j.enter(recordRead{})}
	j.leave(large, nil)
	for i, w := range waits {
		if batch := <-w.lead; len(batch) != 1 || batch[0] != w {
			t.Errorf("read %d is sent with %d others", i, len(batch)-1)
		}
	}
	if want := maxTrips - 1 + len(waits); j.trips != want {
		t.Errorf("%d round trips are under way, want %d", j.trips, want)
	}
	small := 0
	for ; j.enter(recordRead{}) == nil; small++ {
		j.leave(100, nil)
	}
	if small == 0 || small > 100 {
		t.Errorf("reads are joined again after %d small records", small)
	}
}
