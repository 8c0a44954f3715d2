package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nearside-go/nearside/cache"
)

func TestBatchesAreBounded(t *testing.T) {
	whole := strings.Repeat("x", 3*batchBytes)
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, 2*batchBytes/batchSize), rapid.IntRange(0, 3*batchBytes))
		names := make([]string, rapid.IntRange(0, 2000).Draw(t, "n"))
		for i := range names {
			names[i] = whole[:sizes.Draw(t, "size")]
		}
		var all []string
		err := inBatches(names, func(batch []string) error {
			size := 0
			for _, name := range batch {
				size += len(name)
			}
			if len(batch) > batchSize || (size > batchBytes && len(batch) > 1) {
				t.Fatalf("a batch of %d names with %d bytes", len(batch), size)
			}
			all = append(all, batch...)
			return nil
		})
		if err != nil || !slices.Equal(all, names) {
			t.Fatalf("%d of %d names: %v", len(all), len(names), err)
		}
	})
}

func TestBatchesEndWhereRedisDoesNotAnswer(t *testing.T) {
	names := make([]string, 3*batchSize)
	refused := errors.New("refused")
	for _, c := range []struct {
		err   error
		calls int
	}{{nil, 3}, {refused, 3}, {context.DeadlineExceeded, 1}, {cache.ErrUnavailable, 1}} {
		calls := 0
		err := inBatches(names, func([]string) error { calls++; return c.err })
		if err != c.err || calls != c.calls {
			t.Errorf("%v: %d batches, %v; want %d", c.err, calls, err, c.calls)
		}
	}
}
