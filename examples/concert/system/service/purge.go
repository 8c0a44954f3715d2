package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/edge"
)

// The values of Config.Purger.
const (
	PurgeNothing    = ""           // there is no edge
	PurgeKeys       = "keys"       // by tag
	PurgeBans       = "bans"       // by tag, with bans
	PurgeCloudFront = "cloudfront" // by path
)

const (
	// purgeWithin bounds a purge, which a write waits for.
	purgeWithin = time.Second

	// purgeAgain is when the edge is purged once more. In the moment between an invalidation and
	// its delivery to another instance, that instance may give the edge the old answer, and
	// the edge would keep it for much longer than the instance.
	purgeAgain = time.Second
)

// newPurger returns the Purger that a configuration names; nil for none.
func newPurger(c Config) (edge.Purger, error) {
	switch c.Purger {
	case PurgeNothing:
		return nil, nil
	case PurgeKeys:
		return edge.Keys{URL: c.Edge}, nil
	case PurgeBans:
		return edge.Bans{URL: c.Edge}, nil
	case PurgeCloudFront:
		return edge.CloudFront{URL: c.Edge, Distribution: "CONCERT", Paths: pathsOf}, nil
	}
	return nil, fmt.Errorf("there is no purger %q", c.Purger)
}

// pathsOf returns the paths of the answers that carry a tag.
func pathsOf(tag string) []string {
	if id, ok := strings.CutPrefix(tag, "concert-"); ok {
		return []string{"/api/concerts/" + id, "/api/categories/*"}
	}
	return []string{"/api/categories/*"}
}

// purge removes from the edge what depends on a concert. It comes after the invalidation, so
// that the edge finds the new values. If the edge cannot be purged, it shows the old answer
// until its s-maxage has passed.
func (s *Service) purge(ctx context.Context, concert int64) {
	if s.purger == nil {
		return
	}
	once := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, purgeWithin)
		defer cancel()
		return s.purger.Purge(ctx, ConcertTag(concert))
	}
	first := once(context.WithoutCancel(ctx))
	s.purging.Go(func() {
		select {
		case <-time.After(purgeAgain):
		case <-s.ending:
		}
		if err := once(context.Background()); err != nil {
			s.log.Warn("the edge may show an old answer", "error", errors.Join(first, err))
		}
	})
}
