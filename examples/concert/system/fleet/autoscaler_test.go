package fleet

import (
	"testing"
	"time"
)

// TestDesired has the examples of Kubernetes' documentation: twice the target doubles the
// number, half of it halves the number, and within a tenth nothing changes.
func TestDesired(t *testing.T) {
	a := Autoscaler{Min: 1, Max: 4, Target: 100}
	for _, c := range []struct {
		current  int
		measured float64
		want     int
	}{
		{1, 200, 2}, {2, 50, 1}, {2, 200, 4},
		{3, 109, 3}, {3, 91, 3}, {3, 111, 4}, {3, 89, 3}, {3, 66, 2},
		{1, 900, 4}, {4, 900, 4}, {3, 0, 1}, {1, 0, 1},
		{0, 0, 1}, {6, 100, 4}, // outside of the bounds
	} {
		if got := a.Desired(c.current, c.measured); got != c.want {
			t.Errorf("%d instances with %v each: %d are desired, want %d", c.current, c.measured, got, c.want)
		}
	}
}

// TestInstancesAreEndedLate: up at once, and down to the most that was desired in the window.
func TestInstancesAreEndedLate(t *testing.T) {
	a := Autoscaler{Min: 1, Max: 4, Target: 10, Stabilize: 10 * time.Second}
	begun := time.Now()
	current := 2
	for _, step := range []struct {
		at       time.Duration
		measured float64
		want     int
	}{
		{-20 * time.Second, 5, 2}, // 1; what was before counts
		{-15 * time.Second, 5, 2},
		{-9 * time.Second, 5, 1},
		{0, 40, 4},               // 4 are desired
		{1 * time.Second, 2, 4},  // 1
		{5 * time.Second, 7, 4},  // 3
		{10 * time.Second, 2, 4}, // 1; the 4 of the beginning still count
		{11 * time.Second, 2, 3}, // the 3 count
		{15 * time.Second, 2, 3},
		{16 * time.Second, 2, 1},
		{17 * time.Second, 15, 2}, // up at once
		{18 * time.Second, 5, 2},
	} {
		if current = a.decide(begun.Add(step.at), current, step.measured); current != step.want {
			t.Fatalf("after %v there are %d instances, want %d", step.at, current, step.want)
		}
	}
}
