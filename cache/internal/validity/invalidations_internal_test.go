package validity

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/nearside-go/nearside/cache/remote"
)

func pos(n uint64) remote.Position { return remote.Position{Time: n} }

// verdict returns the result of Check in words.
func verdict(k *Invalidations, stamp uint64, tags ...string) string {
	switch j := k.Check(pos(stamp), tags, true); {
	case j.Invalid:
		return "invalid"
	case len(j.Unknown) > 0:
		return fmt.Sprintf("ask %q", j.Unknown)
	}
	return "valid"
}

// ask runs Check, and Resolve with the answers.
func (k *Invalidations) ask(stamp uint64, tags []string, answers ...*remote.Position) (valid bool) {
	j := k.Check(pos(stamp), tags, true)
	return k.Resolve(j, pos(stamp), answers)
}

func at(n uint64) *remote.Position {
	p := pos(n)
	return &p
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name  string
		happ  func(*Invalidations)
		stamp uint64
		want  string
	}{
		{"before the log is read", func(k *Invalidations) {}, 9, `ask ["" "t"]`},
		{"a record from before", func(k *Invalidations) { k.Follow(pos(5), false) }, 4, `ask ["" "t"]`},
		{"a record of that time", func(k *Invalidations) { k.Follow(pos(5), false) }, 5, "valid"},
		{"a tag that was told", func(k *Invalidations) { k.Follow(pos(5), false); k.NotePosition("t", pos(7)) }, 6, "invalid"},
		{"the whole cache", func(k *Invalidations) { k.Follow(pos(5), false); k.NotePosition("", pos(7)) }, 6, "invalid"},
		{"another tag", func(k *Invalidations) { k.Follow(pos(5), false); k.NotePosition("u", pos(7)) }, 6, "valid"},
		{"at the position", func(k *Invalidations) { k.Follow(pos(5), false); k.NotePosition("t", pos(7)) }, 7, "valid"},
		{"the later of two", func(k *Invalidations) {
			k.Follow(pos(5), false)
			k.NotePosition("t", pos(9))
			k.NotePosition("t", pos(7))
		}, 8, "invalid"},
		{"told, and from before", func(k *Invalidations) { k.Follow(pos(5), false); k.NotePosition("t", pos(7)) }, 2, "invalid"},
		{"dropped, and not told", func(k *Invalidations) { k.Follow(pos(5), false); k.Drop("t") }, 6, "valid"},
		{"lost", func(k *Invalidations) { k.Follow(pos(5), false); k.Unfollow() }, 6, `ask ["" "t"]`},
		{"told and lost", func(k *Invalidations) { k.Follow(pos(5), false); k.NotePosition("t", pos(7)); k.Unfollow() }, 6, "invalid"},
		{"told, newer, and lost", func(k *Invalidations) { k.Follow(pos(5), false); k.NotePosition("t", pos(7)); k.Unfollow() }, 8, `ask ["" "t"]`},
		{"resumed", func(k *Invalidations) { k.Follow(pos(5), false); k.Unfollow(); k.Follow(pos(9), true) }, 6, "valid"},
		{"resumed with a gap", func(k *Invalidations) { k.Follow(pos(5), false); k.Unfollow(); k.Follow(pos(9), false) }, 8, `ask ["" "t"]`},
		{"a gap forgets", func(k *Invalidations) { k.Follow(pos(5), false); k.NotePosition("t", pos(7)); k.Follow(pos(9), false) }, 6, `ask ["" "t"]`},
		{"a late begin", func(k *Invalidations) { k.NotePosition("t", pos(7)); k.Follow(pos(5), false) }, 6, "invalid"},
		{"a late begin, there", func(k *Invalidations) { k.NotePosition("t", pos(7)); k.Follow(pos(7), false) }, 6, `ask ["" "t"]`},
		{"told before it is read", func(k *Invalidations) { k.NotePosition("t", pos(7)) }, 6, "invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k Invalidations
			c.happ(&k)
			if got := verdict(&k, c.stamp, "t"); got != c.want {
				t.Errorf("a record of %d: %s, want %s", c.stamp, got, c.want)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	began := func() *Invalidations {
		var k Invalidations
		k.Follow(pos(5), false)
		return &k
	}
	k := began()
	if k.ask(3, []string{"t"}, at(1), nil) {
		t.Error("a record is right by a tag of which nothing is recorded")
	}
	if got := verdict(k, 3, "t"); got != `ask ["t"]` {
		t.Errorf("after one answer: %s", got)
	}
	if !k.ask(3, []string{"t"}, at(3)) || verdict(k, 3, "t") != "valid" || verdict(k, 2, "t") != "invalid" {
		t.Errorf("after both answers: %s, %s", verdict(k, 3, "t"), verdict(k, 2, "t"))
	}

	k = began()
	if k.ask(3, nil, at(4)) || verdict(k, 3) != "invalid" || verdict(k, 4) != "valid" {
		t.Error("the whole cache is a tag like others")
	}

	// What was told while the question was on its way counts more.
	k = began()
	j := k.Check(pos(3), []string{"t"}, true)
	k.NotePosition("t", pos(9))
	k.Resolve(j, pos(3), []*remote.Position{at(1), at(2)})
	if got := verdict(k, 8, "t"); got != "invalid" {
		t.Errorf("the answer took the place of what was told since: %s", got)
	}

	// An answer from before a gap, or without a log to keep it right, is for once.
	for name, meanwhile := range map[string]func(*Invalidations){
		"gap":           func(k *Invalidations) { k.Follow(pos(9), false) },
		"lost":          func(k *Invalidations) { k.Unfollow() },
		"lost and back": func(k *Invalidations) { k.Unfollow(); k.Follow(pos(9), false) },
	} {
		k = began()
		j = k.Check(pos(3), []string{"t"}, true)
		meanwhile(k)
		if !k.Resolve(j, pos(3), []*remote.Position{at(1), at(2)}) {
			t.Errorf("%s: the answer does not count", name)
		}
		if got := verdict(k, 3, "t"); got != `ask ["" "t"]` {
			t.Errorf("%s: the answer was kept: %s", name, got)
		}
	}
}

func TestEntryValid(t *testing.T) {
	var k Invalidations
	var checked atomic.Uint64
	tags := []string{"t", "u"}
	if !k.EntryValid(tags, &checked) {
		t.Fatal("wrong from the start")
	}
	k.Drop("other")
	if !k.EntryValid(tags, &checked) || checked.Load() != k.epoch.Load() {
		t.Fatal("another tag counts, or is looked at again and again")
	}
	mark := k.epoch.Load()
	k.Drop("u")
	for range 2 {
		if k.EntryValid(tags, &checked) {
			t.Fatal("the drop of a tag does not count")
		}
	}
	if !k.DroppedSince(tags, mark) || k.DroppedSince(tags, k.epoch.Load()) || k.DroppedSince([]string{"t"}, mark) {
		t.Error("dropped says otherwise")
	}
	for name, drop := range map[string]func(){
		"the whole cache": func() { k.Drop("x", "", "y") },
		"a gap":           func() { k.Follow(pos(1), false) },
	} {
		checked.Store(k.epoch.Load())
		drop()
		if k.EntryValid(nil, &checked) {
			t.Errorf("%s does not count", name)
		}
	}
	checked.Store(k.epoch.Load())
	k.Unfollow()
	k.Follow(pos(2), true)
	k.NotePosition("t", pos(3)) // tells of records, and not of copies
	if !k.EntryValid(tags, &checked) {
		t.Error("nothing was missed, and the copy is wrong")
	}
}

// More tags than are remembered: what is forgotten is taken for the worst.
func TestManyTags(t *testing.T) {
	for name, note := range map[string]func(k *Invalidations, tag string, n uint64){
		"drop": func(k *Invalidations, tag string, _ uint64) { k.Drop(tag) },
		"told": func(k *Invalidations, tag string, n uint64) { k.NotePosition(tag, pos(n)) },
		"learn": func(k *Invalidations, tag string, n uint64) {
			j := k.Check(pos(3), []string{tag}, true)
			k.Resolve(j, pos(3), []*remote.Position{at(n), at(n)}[:len(j.Unknown)])
		},
	} {
		t.Run(name, func(t *testing.T) {
			var k Invalidations
			k.Follow(pos(5), false)
			k.ask(0, nil, at(0))
			var old, own atomic.Uint64
			old.Store(k.epoch.Load())
			k.Drop("first")
			k.NotePosition("first", pos(8))
			own.Store(k.epoch.Load())
			for i := range uint64(MaxTags + 10) {
				note(&k, fmt.Sprint(i), 9)
			}
			if n := len(k.tags); n > MaxTags {
				t.Errorf("%d tags are remembered", n)
			}
			if k.EntryValid([]string{"first"}, &old) {
				t.Error("a copy is right although its tag was dropped")
			}
			var now atomic.Uint64
			now.Store(k.epoch.Load())
			if !k.EntryValid([]string{"first", "another"}, &now) {
				t.Error("what is found right now is wrong")
			}
			if got := verdict(&k, 7, "first"); got == "valid" {
				t.Error("a record is right although its tag was told")
			}
			if got := verdict(&k, 9, "first", "another"); got != "valid" {
				t.Errorf("a record that is newer than all that was told: %s", got)
			}
		})
	}
}

// What there is too much of goes first, and takes nothing with it that it need not: a copy
// is wrong only if a tag was dropped since it was looked at that is forgotten.
func TestManyTagsLeaveCopiesAlone(t *testing.T) {
	var k Invalidations
	k.Follow(pos(5), false)
	k.Drop("dropped")
	k.NotePosition("dropped", pos(6))
	var copied atomic.Uint64
	copied.Store(k.epoch.Load())
	for i := range 3 * MaxTags {
		k.ask(3, []string{fmt.Sprint(i)}, at(1), at(2))
	}
	if !k.EntryValid([]string{"asked", "dropped"}, &copied) {
		t.Error("a copy is wrong because of tags that were only asked about")
	}
	if got := verdict(&k, 5, "dropped"); got != "invalid" {
		t.Errorf("what was dropped is forgotten before what was asked about: %s", got)
	}
	for i := range MaxTags / 4 {
		k.Drop(fmt.Sprint("later ", i))
	}
	copied.Store(k.epoch.Load())
	for i := range MaxTags / 4 {
		k.Drop(fmt.Sprint("latest ", i))
	}
	for i := range MaxTags {
		k.ask(3, []string{fmt.Sprint("again ", i)}, at(1), at(2))
	}
	if k.EntryValid([]string{"latest 1"}, &copied) {
		t.Error("a copy is right although its tag was dropped")
	}
	if !k.EntryValid([]string{"dropped", "later 1"}, &copied) {
		t.Error("a copy is wrong because of tags that were dropped before it was looked at")
	}
}

// A log that nothing was heard of for long may have lost its connection unnoticed.
func TestSilenceLeavesRecordsUnknown(t *testing.T) {
	var k Invalidations
	k.Follow(pos(5), false)
	k.ask(3, []string{"t"}, at(1), at(2))
	if j := k.Check(pos(9), []string{"t"}, false); j.Invalid || !slices.Equal(j.Unknown, []string{"", "t"}) {
		t.Errorf("in silence: %+v", j)
	} else if !k.Resolve(j, pos(9), []*remote.Position{at(1), at(8)}) || k.Resolve(j, pos(9), []*remote.Position{at(1), at(10)}) {
		t.Error("the answers do not count")
	}
	if got := verdict(&k, 3, "t"); got != "valid" {
		t.Errorf("what was learned in silence is kept: %s", got)
	}
}

// A single call may drop more tags than are remembered. Drops are counted upwards all
// the same: a load that began meanwhile is judged by that count.
func TestManyTagsAtOnce(t *testing.T) {
	var k Invalidations
	tags := make([]string, 2*MaxTags+10)
	for i := range tags {
		tags[i] = fmt.Sprint(i)
	}
	for range 3 {
		before := k.epoch.Load()
		var checked atomic.Uint64
		checked.Store(before)
		k.Drop(tags...)
		if k.epoch.Load() <= before || k.minEpoch > k.epoch.Load() {
			t.Fatalf("the count went from %d to %d, the floor is %d", before, k.epoch.Load(), k.minEpoch)
		}
		for _, tag := range []string{tags[0], tags[MaxTags], tags[len(tags)-1]} {
			if k.EntryValid([]string{tag}, &checked) {
				t.Errorf("a copy is right although tag %s was dropped", tag)
			}
		}
	}
}
