package validity

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

func position(n int) remote.Position { return remote.Position{Time: uint64(n)} }

func wantAfter(t *testing.T, m *Memory, at int, complete bool, want ...string) {
	t.Helper()
	names, ok := m.After(position(at))
	slices.Sort(names)
	if !slices.Equal(names, want) || ok != complete {
		t.Errorf("after %d: %q, %v; want %q, %v", at, names, ok, want, complete)
	}
}

func TestTheMemoryLastsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory
		wantAfter(t, &m, 0, true)
		m.Begin(position(5))
		wantAfter(t, &m, 4, false)
		m.Add("a", position(6), time.Time{}, false)
		time.Sleep(memorySpan / 2)
		m.Add("b", position(7), time.Time{}, false)
		m.Add("a", position(8), time.Time{}, false)
		wantAfter(t, &m, 5, true, "a", "b")
		wantAfter(t, &m, 7, true, "a")
		wantAfter(t, &m, 8, true)
		if m.Last("a").At != position(8) || m.Last("c").At != position(0) {
			t.Errorf("the last invalidations are at %v and %v", m.Last("a").At, m.Last("c").At)
		}
		time.Sleep(memorySpan/2 + 1)
		m.Add("c", position(9), time.Time{}, false)
		wantAfter(t, &m, 5, false, "a", "b", "c") // the first entry of a is forgotten
		wantAfter(t, &m, 6, true, "a", "b", "c")
		time.Sleep(memorySpan + 1)
		m.Add("d", position(10), time.Time{}, false)
		wantAfter(t, &m, 9, true, "d")
		wantAfter(t, &m, 8, false, "d")
		if m.Last("a").At != position(0) {
			t.Error("an invalidation is remembered for longer than a minute")
		}
	})
}

func TestTheMemoryIsBounded(t *testing.T) {
	var m Memory
	for i := range 3 * MaxRemembered {
		m.Add(fmt.Sprint(i), position(i+1), time.Time{}, false)
	}
	names, complete := m.After(position(2 * MaxRemembered))
	if len(names) != MaxRemembered || !complete {
		t.Errorf("%d names, %v", len(names), complete)
	}
	if _, complete := m.After(position(2*MaxRemembered - 1)); complete {
		t.Error("the memory reaches back to what it has forgotten")
	}
	if len(m.last) != MaxRemembered || len(m.queue) != MaxRemembered {
		t.Errorf("%d and %d names are kept", len(m.last), len(m.queue))
	}
}

// A name that was replaced has lost its Set with the server, and its record is not outdated.
func TestAReplacedNameOutdatesNoRecord(t *testing.T) {
	var m Memory
	m.Add("a", position(3), time.Time{}, true)
	wantAfter(t, &m, 2, true, "a")
	if at := m.Last("a").At; at != position(0) {
		t.Errorf("the last invalidation is at %v", at)
	}
	m.Add("a", position(2), time.Time{}, false)
	if at := m.Last("a").At; at != position(2) {
		t.Errorf("the last invalidation is at %v, want 2", at)
	}
	wantAfter(t, &m, 2, true, "a")
}
