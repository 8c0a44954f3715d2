package redis

import (
	"testing"

	"github.com/nearside-go/nearside/cache/remote"
)

// fillOf returns a fill of so many bytes.
func fillOf(bytes int) *remote.Fill { return &remote.Fill{Payload: make([]byte, bytes)} }

// A round trip has 64 ends at most, and 256 KiB, but at least one end. Then the queue goes on
// with the next ones.
func TestHowManyEndsShareARoundTrip(t *testing.T) {
	for _, c := range []struct {
		what  string
		bytes int // of each fill
		want  int // ends of a round trip
	}{
		{"releases", 0, maxJoined},
		{"small fills", 1, maxJoined},
		{"large fills", maxJoinedValue, maxJoinedBytes / maxJoinedValue},
	} {
		j := joinedEnds{}
		for range maxTrips {
			if waits, counts := j.enter(nil, nil); waits != nil || !counts {
				t.Fatalf("%s: an end is queued although few are under way", c.what)
			}
		}
		var queue []*joinedEnd
		for range maxTrips * maxJoined {
			fill := fillOf(c.bytes)
			if c.bytes == 0 {
				fill = nil
			}
			waits, _ := j.enter(nil, fill)
			queue = append(queue, waits)
		}
		if waits, counts := j.enter(nil, nil); waits != nil || counts {
			t.Errorf("%s: an end joins a queue that is full", c.what)
		}
		if !j.giveUp(queue[1]) || j.giveUp(queue[1]) {
			t.Errorf("%s: an end leaves the queue not once", c.what)
		}
		j.leave()
		batch := <-queue[0].lead
		if len(batch) != c.want || batch[0] != queue[0] || batch[1] != queue[2] {
			t.Errorf("%s: %d ends share the first round trip, want %d", c.what, len(batch), c.want)
		}
		if n := len(j.queue); n != len(queue)-1-c.want || j.trips != maxTrips {
			t.Errorf("%s: %d ends wait and %d round trips are under way", c.what, n, j.trips)
		}
	}
}
