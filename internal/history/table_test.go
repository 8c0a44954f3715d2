package history_test

import (
	"math"

	"github.com/nearside-go/nearside/internal/history"
)

type (
	reads   = []history.Read
	invs    = []history.Invalidated
	cuts    = []history.Fault
	rests   = []history.Rest
	reasons = []string
)

// at is a read of instance 2 at some time, and an invalidation that returned at 100.
func at(start int64, faults ...history.Fault) history.History {
	return history.History{Reads: reads{read(2, 0, start)}, Invalidated: invs{invalidated(1, 1, 100)}, Faults: faults}
}

// later is h with another invalidation.
func later(h history.History, inv history.Invalidated) history.History {
	h.Invalidated = append(h.Invalidated, inv)
	return h
}

// Instance 1 invalidates, instance 2 reads, unless it says otherwise. The verdicts
// are told as the reason, the staleness and the bound.
var judged = []struct {
	name  string
	h     history.History
	want  reasons
	stale int
}{
	{name: "nothing happened"},
	{name: "fresh read",
		h: history.History{Reads: reads{read(2, 1, 105)}, Invalidated: invs{invalidated(1, 1, 100)}}},
	{name: "newer than invalidated",
		h: history.History{Reads: reads{read(2, 3, 500)}, Invalidated: invs{invalidated(1, 1, 100)}}},
	{name: "old, but never declared wrong",
		h: history.History{Reads: reads{read(2, 0, 500)}}},
	{name: "stale within delivery",
		h: history.History{Reads: reads{read(2, 0, 110)}, Invalidated: invs{invalidated(1, 1, 100)}}},
	{name: "stale beyond delivery",
		h:     history.History{Reads: reads{read(2, 0, 111)}, Invalidated: invs{invalidated(1, 1, 100)}},
		want:  reasons{"late 11ns > 10ns"},
		stale: 1},
	{name: "another key's invalidation",
		h: history.History{Reads: reads{read(2, 0, 500)}, Invalidated: invs{{Instance: 2, Key: "other", Version: 1, Start: 95, End: 100}}}},

	{name: "own, concurrent",
		h: history.History{Reads: reads{read(1, 0, 99)}, Invalidated: invs{invalidated(1, 1, 100)}}},
	{name: "own, at the very end",
		h: history.History{Reads: reads{read(1, 0, 100)}, Invalidated: invs{invalidated(1, 1, 100)}}},
	{name: "own, after a nanosecond",
		h:    history.History{Reads: reads{read(1, 0, 101)}, Invalidated: invs{invalidated(1, 1, 100)}},
		want: reasons{"own write 1ns > 0s"}},
	{name: "own, not excused by a fault",
		h: history.History{Reads: reads{read(1, 0, 101)}, Invalidated: invs{invalidated(1, 1, 100)},
			Faults: cuts{fault("cut", history.All, 0, 500)}},
		want: reasons{"own write 1ns > 0s"}},
	{name: "own, and another's within delivery",
		h:    history.History{Reads: reads{read(1, 0, 101)}, Invalidated: invs{invalidated(2, 2, 95), invalidated(1, 1, 100)}},
		want: reasons{"own write 1ns > 0s"}},
	{name: "own, and another's beyond delivery",
		h:     history.History{Reads: reads{read(1, 0, 120)}, Invalidated: invs{invalidated(1, 1, 100), invalidated(2, 2, 105)}},
		want:  reasons{"own write 20ns > 0s", "late 15ns > 10ns"},
		stale: 1},
	{name: "own of less than was read, another's of more",
		h:    history.History{Reads: reads{read(1, 1, 105)}, Invalidated: invs{invalidated(1, 1, 100), invalidated(2, 2, 101)}},
		want: nil},
	{name: "an instance numbered as all are",
		h:    history.History{Reads: reads{read(-1, 0, 101)}, Invalidated: invs{invalidated(-1, 1, 100)}},
		want: reasons{"own write 1ns > 0s"}},

	{name: "held up by a fault",
		h:     at(199, fault("cut", 2, 105, 180)),
		stale: 1},
	{name: "held up by a fault of all",
		h:     at(199, fault("cut", history.All, 90, 300)),
		stale: 1},
	{name: "beyond Longest, however long the fault",
		h:     at(201, fault("cut", 2, 105, 300)),
		want:  reasons{"late 101ns > 100ns"},
		stale: 1},
	{name: "a fault that was never mended",
		h:     at(200, fault("cut", 2, 60, math.MaxInt64)),
		stale: 1},
	{name: "the fault began when it was due",
		h:     at(130, fault("cut", 2, 110, 111)),
		stale: 1},
	{name: "the fault began when it was overdue",
		h:     at(130, fault("cut", 2, 111, 112)),
		want:  reasons{"late 30ns > 10ns"},
		stale: 1},
	{name: "the fault began after the read",
		h:     at(111, fault("cut", 2, 112, 113)),
		want:  reasons{"late 11ns > 10ns"},
		stale: 1},
	{name: "recovered, and delivered in time",
		h:     at(150, fault("cut", 2, 105, 120)),
		stale: 1},
	{name: "recovered, and delivered late",
		h:     at(151, fault("cut", 2, 105, 120)),
		want:  reasons{"late 51ns > 50ns"},
		stale: 1},
	{name: "in the recovery",
		h:     at(111, fault("cut", 2, 60, 81)),
		stale: 1},
	{name: "at the end of the recovery",
		h: at(110, fault("cut", 2, 60, 80))},
	{name: "after the recovery",
		h:     at(111, fault("cut", 2, 60, 80)),
		want:  reasons{"late 11ns > 10ns"},
		stale: 1},
	{name: "after the recovery of a shorter one",
		h:     at(111, fault("pause", 2, 60, 100)),
		want:  reasons{"late 11ns > 10ns"},
		stale: 1},
	{name: "a long fault, then a short one",
		h:     at(120, fault("cut", 2, 20, 30), fault("cut", 2, 10, 90)),
		stale: 1},
	{name: "a second fault before it was due",
		h:     at(190, fault("cut", 2, 105, 120), fault("cut", 2, 150, 160)),
		stale: 1},
	{name: "a second fault when it was overdue",
		h:     at(190, fault("cut", 2, 105, 120), fault("cut", 2, 151, 180)),
		want:  reasons{"late 90ns > 50ns"},
		stale: 1},
	{name: "a fault on another instance",
		h:     at(200, fault("cut", 1, 90, 300)),
		want:  reasons{"late 100ns > 10ns"},
		stale: 1},
	{name: "a kind that excuses nothing",
		h:     at(111, fault("rain", 2, 90, 300)),
		want:  reasons{"late 11ns > 10ns"},
		stale: 1},
	{name: "the more lenient of two faults",
		h:     at(200, fault("pause", 2, 90, 300), fault("cut", 2, 110, 180)),
		stale: 1},
	{name: "the longer of two faults, up to the lesser Longest",
		h:     at(151, fault("pause", 2, 90, 300), fault("cut", 2, 110, 120)),
		want:  reasons{"late 51ns > 50ns"},
		stale: 1},
	{name: "the excuse of an old invalidation is none for a new one",
		h:     later(at(200, fault("cut", 2, 110, 170)), invalidated(1, 2, 180)),
		stale: 1},
	{name: "due for the old invalidation before the new one",
		h:     later(at(140, fault("cut", 2, 80, 85)), invalidated(1, 2, 135)),
		want:  reasons{"late 40ns > 15ns"},
		stale: 1},
	{name: "an invalidation of less does not begin the wait",
		h: history.History{Reads: reads{read(2, 2, 200)},
			Invalidated: invs{invalidated(1, 1, 100), invalidated(1, 4, 160)},
			Faults:      cuts{fault("cut", 2, 110, 120)}},
		want:  reasons{"late 40ns > 10ns"},
		stale: 1},

	{name: "a later invalidation of less does not mask",
		h: history.History{Reads: reads{read(2, 2, 120)},
			Invalidated: invs{invalidated(1, 3, 100), invalidated(1, 2, 115), invalidated(1, 1, 118)}},
		want:  reasons{"late 20ns > 10ns"},
		stale: 1},
	{name: "a later invalidation of more does not make it shorter",
		h:     history.History{Reads: reads{read(2, 2, 120)}, Invalidated: invs{invalidated(1, 9, 115), invalidated(1, 3, 100)}},
		want:  reasons{"late 20ns > 10ns"},
		stale: 1},
	{name: "earlier invalidations of less do not make it longer",
		h: history.History{Reads: reads{read(2, 2, 120)}, Invalidated: invs{invalidated(1, 1, 50), invalidated(1, 2, 80), invalidated(1, 3, 112)}}},

	{name: "fresh at rest",
		h: history.History{Rests: rests{rest(1, 200)}, Invalidated: invs{invalidated(1, 1, 100)}}},
	{name: "stale at rest",
		h: history.History{Rests: rests{rest(1, 200)}, Invalidated: invs{invalidated(1, 2, 200), invalidated(1, 1, 100)},
			Faults: cuts{fault("cut", 2, 0, 300)}},
		want: reasons{"at rest 0s > 0s"}},
	{name: "at rest before",
		h: history.History{Rests: rests{rest(1, 200)}, Invalidated: invs{invalidated(1, 2, 201)}}},
	{name: "at rest, and never heard of",
		h: history.History{Rests: rests{{Tier: "redis", Key: "other", At: 9}}}},

	{name: "during its commit",
		h: history.History{Reads: reads{{Instance: 2, Key: "k", Version: 9, Start: 1, End: 9}}}},
	{name: "before its commit",
		h:    history.History{Reads: reads{{Instance: 2, Key: "k", Version: 9, Start: 1, End: 8}}},
		want: reasons{"early 0s > 0s"}},
	{name: "never committed",
		h:    history.History{Reads: reads{read(2, 10, 500)}},
		want: reasons{"unknown 0s > 0s"}},
	{name: "less than no commit",
		h:    history.History{Reads: reads{read(2, -1, 500)}},
		want: reasons{"unknown 0s > 0s"}},
	{name: "committed to another key",
		h:    history.History{Reads: reads{{Key: "other", Version: 1, Start: 500, End: 501}}},
		want: reasons{"unknown 0s > 0s"}},

	{name: "records that end before they start",
		h: history.History{
			Reads:       reads{{Key: "k", Start: 9, End: 8}},
			Commits:     []history.Commit{{Key: "k", Version: 10, Start: 9, End: 8}},
			Invalidated: invs{{Key: "k", Start: 9, End: 8}},
			Faults:      cuts{fault("cut", 1, 9, 0)},
		},
		want: reasons{"backwards 0s > 0s", "backwards 0s > 0s", "backwards 0s > 0s", "backwards 0s > 0s"}},
}
