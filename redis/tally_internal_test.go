package redis

import (
	"math/rand/v2"
	"testing"
)

// after returns a tally of n outcomes.
func after(n int, failed func(i int) bool) *tally {
	t := &tally{}
	for i := range n {
		t.note(failed(i))
	}
	return t
}

func TestAThirdOfFailuresExceedsTheDefaultRatio(t *testing.T) {
	third := func(i int) bool { return i%3 == 0 }
	if after(minOutcomes-1, third).exceeds(DefaultFailureRatio) {
		t.Error("the ratio is exceeded before enough outcomes are known")
	}
	if !after(minOutcomes, third).exceeds(DefaultFailureRatio) {
		t.Error("the ratio is not exceeded")
	}
}

// A million commands of which one in a hundred fails, by chance, from a fixed seed.
func TestRareFailuresNeverExceedTheDefaultRatio(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	tally := &tally{}
	for i := range 1_000_000 {
		tally.note(chance.IntN(100) == 0)
		if tally.exceeds(DefaultFailureRatio) {
			t.Fatalf("the ratio is exceeded after %d commands, with %d failures of %d", i, tally.failed, tally.seen)
		}
	}
}

func TestTheTallyForgetsOldOutcomes(t *testing.T) {
	tally := after(failureWindow, func(int) bool { return true })
	for range failureWindow - 1 {
		tally.note(false)
	}
	if tally.failed != 1 || tally.seen != failureWindow || tally.inARow != 0 {
		t.Errorf("%d failures of %d, %d in a row; want 1 of %d, and 0", tally.failed, tally.seen, tally.inARow, failureWindow)
	}
}
