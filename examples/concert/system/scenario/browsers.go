package scenario

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/nearside-go/nearside/examples/concert/system/fleet"
	"github.com/nearside-go/nearside/examples/concert/system/load"
)

// askAgain plays browsers that have a page and ask whether it has changed. The answer comes
// from whichever instance it is, and has a body only after a change.
func askAgain(ctx context.Context, w *World, s *Side) (string, error) {
	const rounds, times = 3, 10
	concert := load.Watched[2]
	path := fmt.Sprintf("/api/concerts/%d", concert)
	for range rounds {
		cents := s.nextPrice()
		all := s.Instances()
		if err := setPrice(ctx, all[0], concert, cents); err != nil {
			return "", err
		}
		for _, i := range all {
			if _, err := showsPrice(ctx, i, concert, cents, seenWithin); err != nil {
				return "", err
			}
		}
		tag, err := conditional(ctx, all[0], path, "", http.StatusOK)
		if err != nil {
			return "", err
		}
		for n := range times {
			if _, err := conditional(ctx, all[n%len(all)], path, tag, http.StatusNotModified); err != nil {
				return "", err
			}
		}
		if err := setPrice(ctx, all[0], concert, s.nextPrice()); err != nil {
			return "", err
		}
		if next, err := conditional(ctx, all[0], path, tag, http.StatusOK); err != nil || next == tag {
			return "", fmt.Errorf("after a change the entity tag is %s, which was %s, error %v", next, tag, err)
		}
	}
	return fmt.Sprintf("%d of %d answered by any instance without a body", rounds*times, rounds*(times+2)), nil
}

// conditional asks an instance for a path unless it still has an entity tag, and returns the
// tag that it has. Another status than want is an error.
func conditional(ctx context.Context, i *fleet.Instance, path, tag string, want int) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.URL()+path, nil)
	if err != nil {
		return "", err
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != want || want == http.StatusNotModified && len(body) > 0) {
		err = fmt.Errorf("%s answers %s with the tag %s: status %d and %d bytes, want status %d", i.Name, path, tag, resp.StatusCode, len(body), want)
	}
	return resp.Header.Get("ETag"), err
}
