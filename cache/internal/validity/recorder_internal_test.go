package validity

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestDue: which tags are due, and that the memory of them is bounded.
func TestDue(t *testing.T) {
	var r Recorder
	if due := r.Due([]string{"t", "u"}); !slices.Equal(due, []string{"", "t", "u"}) {
		t.Errorf("at first %q are due", due)
	}
	if due := r.Due([]string{"t", "v"}); !slices.Equal(due, []string{"v"}) {
		t.Errorf("then %q are due", due)
	}
	r.postpone([]string{"", "t"}, time.Hour)
	r.postpone([]string{"u"}, 0)
	if due := r.Due([]string{"t", "u"}); !slices.Equal(due, []string{"u"}) {
		t.Errorf("when the time of u is over %q are due", due)
	}
	for i := range 3 * MaxTags {
		r.postpone([]string{fmt.Sprint(i)}, time.Hour)
		if len(r.next) > MaxTags+1 {
			t.Fatalf("%d tags are remembered", len(r.next))
		}
	}
}
