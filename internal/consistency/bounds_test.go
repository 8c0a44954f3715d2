package consistency_test

import (
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/consistency"
	"github.com/nearside-go/nearside/internal/history"
)

const second = int64(time.Second)

// delivery is what an entry of the log is allowed to take, without a fault.
var delivery = int64(consistency.Bounds(0, false).Delivery)

// struck judges a read of instance 2 that started at some time, and returned what
// instance 1 had invalidated a second before the end of a fault, or of none for "".
// The fault is of all instances, and stands for 1.5 s, until 10 s.
func struck(kind string, start int64, local time.Duration, cluster bool) (violations int) {
	h := history.History{
		Commits:     []history.Commit{{Key: "k", Version: 1, Start: 1, End: 2}},
		Invalidated: []history.Invalidated{{Instance: 1, Key: "k", Version: 1, Start: 3, End: 9 * second}},
		Reads:       []history.Read{{Instance: 2, Key: "k", Start: start, End: start + 1}},
	}
	if kind != "" {
		h.Faults = []history.Fault{{Kind: kind, Instance: history.All, Start: 17 * second / 2, End: 10 * second}}
	}
	return len(history.Judge(h, consistency.Bounds(local, cluster)).Violations)
}

// What takes the log away, or kills, holds up nothing: a read that is late under it is a
// violation as it is without a fault.
func TestWhatExcusesNothing(t *testing.T) {
	for _, kind := range []string{"", "process killed", "log trimmed", "log deleted", "Redis flushed", "positions of tags evicted",
		"leases and tombstones evicted", "another node killed, back empty", "another node stopped", "slot of a key moved"} {
		for _, local := range locals {
			if n := struck(kind, 9*second+delivery, local, true); n != 0 {
				t.Errorf("%q: a read within delivery is found late", kind)
			}
			if n := struck(kind, 9*second+delivery+1, local, true); n != 1 {
				t.Errorf("%q: a late read is not found", kind)
			}
		}
	}
}

// What holds up the log excuses until it is recovered from, and a delivery later, but
// nothing beyond Local.TTL.
func TestWhatExcuses(t *testing.T) {
	const log = 500 * int64(time.Millisecond) // LogTimeout
	reconnects := 200 * int64(time.Millisecond)
	for _, tt := range []struct {
		kind     string
		recovery int64
		cluster  bool
	}{
		{"connections cut", reconnects, false},
		{"connections frozen", reconnects, false},
		{"connections reset", reconnects, false},
		{"connections half open", log + reconnects, false},
		{"connections half open, new ones work", log + reconnects, false},
		{"Redis killed, back empty", reconnects, false},
		{"Redis stopped", reconnects, false},
		{"connections cut", reconnects, true},
		{"node of the log killed, back empty", reconnects, true},
		{"node of the log stopped", reconnects, true},
		{"slot of the log moved", log/4 + reconnects, true},
	} {
		until := 10*second + tt.recovery + delivery
		if struck(tt.kind, until, 30*time.Second, tt.cluster) != 0 || struck(tt.kind, until+1, 30*time.Second, tt.cluster) != 1 {
			t.Errorf("%s: what it held up is not due at %v", tt.kind, time.Duration(until))
		}
		until = min(until, 10*second+delivery) // 9 s and Local.TTL
		if struck(tt.kind, until, time.Second, tt.cluster) != 0 || struck(tt.kind, until+1, time.Second, tt.cluster) != 1 {
			t.Errorf("%s: Local.TTL is not the bound", tt.kind)
		}
	}
}

// Whatever excuses ends with Local.TTL.
func TestLocalTTLBoundsAll(t *testing.T) {
	for _, cluster := range []bool{false, true} {
		for kind, bound := range consistency.Bounds(time.Second, cluster).Faulty {
			if bound.Longest != time.Second+time.Duration(delivery) || bound.Recovery <= 0 {
				t.Errorf("%s: %+v", kind, bound)
			}
		}
	}
}
