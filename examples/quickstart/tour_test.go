package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/cache"
)

// A step that goes otherwise than it should ends the walk with an error.
func TestStepsAreChecked(t *testing.T) {
	lost := errors.New("lost")
	for name, c := range map[string]struct {
		by    cache.Tier
		loads int64
		err   error
		want  string
	}{
		"as it should be":   {by: cache.TierLocal},
		"another tier":      {by: tierSource, want: "answered by source, which should be local"},
		"a load too many":   {by: cache.TierLocal, loads: 1, want: "1 loads, which should be 0"},
		"a read that fails": {by: cache.TierLocal, err: lost, want: "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			walked := tour{source: &catalog{}}
			_, err := walked.take(t.Context(), step{want: tally{cache.TierLocal: 1}, act: func(_ context.Context, o *outcome) error {
				walked.source.queries.Add(c.loads)
				o.answers[c.by]++
				return c.err
			}})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestAWrongValueIsAnError(t *testing.T) {
	var o outcome
	if err := o.count(seeded(1), answer{product: seeded(2), from: cache.TierLocal}); err == nil {
		t.Error("no error for another product than the one that was asked for")
	}
	if o.answers != (tally{}) {
		t.Errorf("it was counted: %v", o.answers)
	}
}
