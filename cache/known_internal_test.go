package cache

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func pos(n uint64) Position { return Position{Time: n} }

// verdict is what judge says of a record, in words.
func verdict(k *known, stamp uint64, tags ...string) string {
	switch j := k.judge(pos(stamp), tags, true); {
	case j.wrong:
		return "wrong"
	case len(j.unknown) > 0:
		return fmt.Sprintf("ask %q", j.unknown)
	}
	return "right"
}

// ask is judge and, of what is unknown, learn.
func (k *known) ask(stamp uint64, tags []string, answers ...*Position) (right bool) {
	j := k.judge(pos(stamp), tags, true)
	return k.learn(j, pos(stamp), answers)
}

func at(n uint64) *Position {
	p := pos(n)
	return &p
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name  string
		happ  func(*known)
		stamp uint64
		want  string
	}{
		{"before the log is read", func(k *known) {}, 9, `ask ["" "t"]`},
		{"a record from before", func(k *known) { k.begin(pos(5), false) }, 4, `ask ["" "t"]`},
		{"a record of that time", func(k *known) { k.begin(pos(5), false) }, 5, "right"},
		{"a tag that was told", func(k *known) { k.begin(pos(5), false); k.told("t", pos(7)) }, 6, "wrong"},
		{"the whole cache", func(k *known) { k.begin(pos(5), false); k.told("", pos(7)) }, 6, "wrong"},
		{"another tag", func(k *known) { k.begin(pos(5), false); k.told("u", pos(7)) }, 6, "right"},
		{"at the position", func(k *known) { k.begin(pos(5), false); k.told("t", pos(7)) }, 7, "right"},
		{"the later of two", func(k *known) { k.begin(pos(5), false); k.told("t", pos(9)); k.told("t", pos(7)) }, 8, "wrong"},
		{"told, and from before", func(k *known) { k.begin(pos(5), false); k.told("t", pos(7)) }, 2, "wrong"},
		{"dropped, and not told", func(k *known) { k.begin(pos(5), false); k.drop("t") }, 6, "right"},
		{"lost", func(k *known) { k.begin(pos(5), false); k.lose() }, 6, `ask ["" "t"]`},
		{"told and lost", func(k *known) { k.begin(pos(5), false); k.told("t", pos(7)); k.lose() }, 6, "wrong"},
		{"told, newer, and lost", func(k *known) { k.begin(pos(5), false); k.told("t", pos(7)); k.lose() }, 8, `ask ["" "t"]`},
		{"resumed", func(k *known) { k.begin(pos(5), false); k.lose(); k.begin(pos(9), true) }, 6, "right"},
		{"resumed with a gap", func(k *known) { k.begin(pos(5), false); k.lose(); k.begin(pos(9), false) }, 8, `ask ["" "t"]`},
		{"a gap forgets", func(k *known) { k.begin(pos(5), false); k.told("t", pos(7)); k.begin(pos(9), false) }, 6, `ask ["" "t"]`},
		{"a late begin", func(k *known) { k.told("t", pos(7)); k.begin(pos(5), false) }, 6, "wrong"},
		{"a late begin, there", func(k *known) { k.told("t", pos(7)); k.begin(pos(7), false) }, 6, `ask ["" "t"]`},
		{"told before it is read", func(k *known) { k.told("t", pos(7)) }, 6, "wrong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k known
			c.happ(&k)
			if got := verdict(&k, c.stamp, "t"); got != c.want {
				t.Errorf("a record of %d: %s, want %s", c.stamp, got, c.want)
			}
		})
	}
}

func TestLearn(t *testing.T) {
	began := func() *known {
		var k known
		k.begin(pos(5), false)
		return &k
	}
	k := began()
	if k.ask(3, []string{"t"}, at(1), nil) {
		t.Error("a record is right by a tag of which nothing is recorded")
	}
	if got := verdict(k, 3, "t"); got != `ask ["t"]` {
		t.Errorf("after one answer: %s", got)
	}
	if !k.ask(3, []string{"t"}, at(3)) || verdict(k, 3, "t") != "right" || verdict(k, 2, "t") != "wrong" {
		t.Errorf("after both answers: %s, %s", verdict(k, 3, "t"), verdict(k, 2, "t"))
	}

	k = began()
	if k.ask(3, nil, at(4)) || verdict(k, 3) != "wrong" || verdict(k, 4) != "right" {
		t.Error("the whole cache is a tag like others")
	}

	// What was told while the question was on its way counts more.
	k = began()
	j := k.judge(pos(3), []string{"t"}, true)
	k.told("t", pos(9))
	k.learn(j, pos(3), []*Position{at(1), at(2)})
	if got := verdict(k, 8, "t"); got != "wrong" {
		t.Errorf("the answer took the place of what was told since: %s", got)
	}

	// An answer from before a gap, or without a log to keep it right, is for once.
	for name, meanwhile := range map[string]func(*known){
		"gap":           func(k *known) { k.begin(pos(9), false) },
		"lost":          func(k *known) { k.lose() },
		"lost and back": func(k *known) { k.lose(); k.begin(pos(9), false) },
	} {
		k = began()
		j = k.judge(pos(3), []string{"t"}, true)
		meanwhile(k)
		if !k.learn(j, pos(3), []*Position{at(1), at(2)}) {
			t.Errorf("%s: the answer does not count", name)
		}
		if got := verdict(k, 3, "t"); got != `ask ["" "t"]` {
			t.Errorf("%s: the answer was kept: %s", name, got)
		}
	}
}

func TestRight(t *testing.T) {
	var k known
	var checked atomic.Uint64
	tags := []string{"t", "u"}
	if !k.right(tags, &checked) {
		t.Fatal("wrong from the start")
	}
	k.drop("other")
	if !k.right(tags, &checked) || checked.Load() != k.drops.Load() {
		t.Fatal("another tag counts, or is looked at again and again")
	}
	mark := k.drops.Load()
	k.drop("u")
	for range 2 {
		if k.right(tags, &checked) {
			t.Fatal("the drop of a tag does not count")
		}
	}
	if !k.dropped(tags, mark) || k.dropped(tags, k.drops.Load()) || k.dropped([]string{"t"}, mark) {
		t.Error("dropped says otherwise")
	}
	for name, drop := range map[string]func(){
		"the whole cache": func() { k.drop("x", "", "y") },
		"a gap":           func() { k.begin(pos(1), false) },
	} {
		checked.Store(k.drops.Load())
		drop()
		if k.right(nil, &checked) {
			t.Errorf("%s does not count", name)
		}
	}
	checked.Store(k.drops.Load())
	k.lose()
	k.begin(pos(2), true)
	k.told("t", pos(3)) // tells of records, and not of copies
	if !k.right(tags, &checked) {
		t.Error("nothing was missed, and the copy is wrong")
	}
}

// More tags than are remembered: what is forgotten is taken for the worst.
func TestManyTags(t *testing.T) {
	for name, note := range map[string]func(k *known, tag string, n uint64){
		"drop": func(k *known, tag string, _ uint64) { k.drop(tag) },
		"told": func(k *known, tag string, n uint64) { k.told(tag, pos(n)) },
		"learn": func(k *known, tag string, n uint64) {
			j := k.judge(pos(3), []string{tag}, true)
			k.learn(j, pos(3), []*Position{at(n), at(n)}[:len(j.unknown)])
		},
	} {
		t.Run(name, func(t *testing.T) {
			var k known
			k.begin(pos(5), false)
			k.ask(0, nil, at(0))
			var old, own atomic.Uint64
			old.Store(k.drops.Load())
			k.drop("first")
			k.told("first", pos(8))
			own.Store(k.drops.Load())
			for i := range uint64(maxKnownTags + 10) {
				note(&k, fmt.Sprint(i), 9)
			}
			if n := len(k.tags); n > maxKnownTags {
				t.Errorf("%d tags are remembered", n)
			}
			if k.right([]string{"first"}, &old) {
				t.Error("a copy is right although its tag was dropped")
			}
			var now atomic.Uint64
			now.Store(k.drops.Load())
			if !k.right([]string{"first", "another"}, &now) {
				t.Error("what is found right now is wrong")
			}
			if got := verdict(&k, 7, "first"); got == "right" {
				t.Error("a record is right although its tag was told")
			}
			if got := verdict(&k, 9, "first", "another"); got != "right" {
				t.Errorf("a record that is newer than all that was told: %s", got)
			}
		})
	}
}

// What there is too much of goes first, and takes nothing with it that it need not: a copy
// is wrong only if a tag was dropped since it was looked at that is forgotten.
func TestManyTagsLeaveCopiesAlone(t *testing.T) {
	var k known
	k.begin(pos(5), false)
	k.drop("dropped")
	k.told("dropped", pos(6))
	var copied atomic.Uint64
	copied.Store(k.drops.Load())
	for i := range 3 * maxKnownTags {
		k.ask(3, []string{fmt.Sprint(i)}, at(1), at(2))
	}
	if !k.right([]string{"asked", "dropped"}, &copied) {
		t.Error("a copy is wrong because of tags that were only asked about")
	}
	if got := verdict(&k, 5, "dropped"); got != "wrong" {
		t.Errorf("what was dropped is forgotten before what was asked about: %s", got)
	}
	for i := range maxKnownTags / 4 {
		k.drop(fmt.Sprint("later ", i))
	}
	copied.Store(k.drops.Load())
	for i := range maxKnownTags / 4 {
		k.drop(fmt.Sprint("latest ", i))
	}
	for i := range maxKnownTags {
		k.ask(3, []string{fmt.Sprint("again ", i)}, at(1), at(2))
	}
	if k.right([]string{"latest 1"}, &copied) {
		t.Error("a copy is right although its tag was dropped")
	}
	if !k.right([]string{"dropped", "later 1"}, &copied) {
		t.Error("a copy is wrong because of tags that were dropped before it was looked at")
	}
}

// A log that nothing was heard of for long may have lost its connection unnoticed.
func TestWhatIsKnownIsOfNoUseInSilence(t *testing.T) {
	var k known
	k.begin(pos(5), false)
	k.ask(3, []string{"t"}, at(1), at(2))
	if j := k.judge(pos(9), []string{"t"}, false); j.wrong || !slices.Equal(j.unknown, []string{"", "t"}) {
		t.Errorf("in silence: %+v", j)
	} else if !k.learn(j, pos(9), []*Position{at(1), at(8)}) || k.learn(j, pos(9), []*Position{at(1), at(10)}) {
		t.Error("the answers do not count")
	}
	if got := verdict(&k, 3, "t"); got != "right" {
		t.Errorf("what was learned in silence is kept: %s", got)
	}
}

// A single call may drop more tags than are remembered. Drops are counted upwards all
// the same: a load that began meanwhile is judged by that count.
func TestManyTagsAtOnce(t *testing.T) {
	var k known
	tags := make([]string, 2*maxKnownTags+10)
	for i := range tags {
		tags[i] = fmt.Sprint(i)
	}
	for range 3 {
		before := k.drops.Load()
		var checked atomic.Uint64
		checked.Store(before)
		k.drop(tags...)
		if k.drops.Load() <= before || k.floor > k.drops.Load() {
			t.Fatalf("the count went from %d to %d, the floor is %d", before, k.drops.Load(), k.floor)
		}
		for _, tag := range []string{tags[0], tags[maxKnownTags], tags[len(tags)-1]} {
			if k.right([]string{tag}, &checked) {
				t.Errorf("a copy is right although tag %s was dropped", tag)
			}
		}
	}
}

// TestTagsThatAreRecorded: what is due, and that the memory of it is bounded.
func TestTagsThatAreRecorded(t *testing.T) {
	var r recorded
	if due := r.claim([]string{"t", "u"}); !slices.Equal(due, []string{"", "t", "u"}) {
		t.Errorf("at first %q are due", due)
	}
	if due := r.claim([]string{"t", "v"}); !slices.Equal(due, []string{"v"}) {
		t.Errorf("then %q are due", due)
	}
	r.done([]string{"", "t"}, time.Hour)
	r.done([]string{"u"}, 0)
	if due := r.claim([]string{"t", "u"}); !slices.Equal(due, []string{"u"}) {
		t.Errorf("when the time of u is over %q are due", due)
	}
	for i := range 3 * maxKnownTags {
		r.done([]string{fmt.Sprint(i)}, time.Hour)
		if len(r.next) > maxKnownTags+1 {
			t.Fatalf("%d tags are remembered", len(r.next))
		}
	}
}
