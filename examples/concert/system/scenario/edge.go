package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/load"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

// edgeWithin is how soon the edge has to show a new price: after the second purge at the
// latest.
const edgeWithin = 4 * time.Second

// usuallyPurgedWithin bounds the median of the times until the edge shows a change, so that the second
// purge, a second later, does not stand in for the first.
const usuallyPurgedWithin = 700 * time.Millisecond

// visitors is how many requests for the page come one after the other, before its price changes.
const visitors = 20

// atTheEdge changes prices that the edge has, and measures how long the edge shows the old one. An
// edge that keeps nothing shows no old price either, so the edge has to answer half of the requests
// that are repeated.
func atTheEdge(ctx context.Context, w *World, s *Side) (string, error) {
	concert := load.Watched[3]
	url := fmt.Sprintf("%s/api/concerts/%d", s.Edge.URL(), concert)
	hits, misses, err := s.Edge.Counts(ctx)
	if err != nil {
		return "", err
	}
	rounds := 8
	if w.brief {
		rounds = 3
	}
	var stale []time.Duration
	for range rounds {
		for range visitors {
			if err := read(ctx, url, nil); err != nil {
				return "", err
			}
		}
		cents := s.nextPrice()
		if err := s.Users.SetPrice(ctx, concert, cents); err != nil {
			return "", err
		}
		took, err := until(ctx, edgeWithin, fmt.Sprintf("the edge shows the price %d", cents), func() (bool, error) {
			var page service.Page
			err := read(ctx, url, &page)
			return page.Cents == cents, err
		})
		if err != nil {
			return "", err
		}
		stale = append(stale, took)
	}
	slices.Sort(stale)
	median := load.Percentile(stale, 50)
	if !w.brief && median > usuallyPurgedWithin {
		return "", fmt.Errorf("the edge shows a change after %v (median), and not within %v: %v", median, usuallyPurgedWithin, stale)
	}
	nowHits, nowMisses, err := s.Edge.Counts(ctx)
	hits, misses = nowHits-hits, nowMisses-misses
	if repeated := rounds * (visitors - 1); err == nil && hits < repeated/2 {
		err = fmt.Errorf("the edge has answered %d of %d repeated requests itself", hits, repeated)
	}
	return fmt.Sprintf("%d of %d answered by the edge; an old price for %s after the answer to the write (median), %s (longest)",
		hits, hits+misses, short(median), short(stale[len(stale)-1])), err
}
