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
	if id, ok := strings.CutPrefix(tag, concertTag); ok {
		return []string{"/api/concerts/" + id, "/api/categories/*"}
	}
	return []string{"/api/categories/*"}
}

// purge removes the answers that depend on a concert from the edge. It comes after the
// invalidation, so that the edge finds the new values. If the edge cannot be purged, it shows the
// old answer until its s-maxage has passed.
func (s *Service) purge(ctx context.Context, concert int64) {
	if s.purger == nil {
		return
	}
	tag := ConcertTag(concert)
	first := s.purgeOnce(context.WithoutCancel(ctx), tag)
	s.purging.Go(func() { s.purgeOnceMore(first, tag) })
}

// purgeLate purges tags whose invalidation has reached Redis long after their write. In between,
// other instances have given the edge the old answers that they had in Redis.
func (s *Service) purgeLate(tags ...string) {
	if s.purger == nil || len(tags) == 0 {
		return
	}
	s.purging.Go(func() { s.purgeOnceMore(s.purgeOnce(context.Background(), tags...), tags...) })
}

func (s *Service) purgeOnce(ctx context.Context, tags ...string) error {
	ctx, cancel := context.WithTimeout(ctx, purgeWithin)
	defer cancel()
	return s.purger.Purge(ctx, tags...)
}

// purgeOnceMore purges after a pause, also if the first purge has failed.
func (s *Service) purgeOnceMore(first error, tags ...string) {
	select {
	case <-time.After(purgeAgain):
	case <-s.ending.Done():
	}
	if err := s.purgeOnce(context.Background(), tags...); err != nil {
		s.log.Warn("the edge may show an old answer", "error", errors.Join(first, err))
	}
}
