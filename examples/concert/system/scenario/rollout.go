package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/fleet"
	"github.com/nearside-go/nearside/examples/concert/system/load"
)

// otherVersion is the version of the service that a fleet is not of. Their cached concerts have
// different shapes.
func (s *Side) otherVersion() int { return 3 - s.Instances()[0].Version }

// roll takes the fleet to the other version. While both versions serve, a price that one of them
// changes is seen by the other.
func roll(ctx context.Context, w *World, s *Side) (string, error) {
	concert := load.Watched[1]
	err := s.Roll(ctx, s.otherVersion(), func(old, next *fleet.Instance) error {
		w.event("%s of version %d is replaced by %s of version %d", old.Name, old.Version, next.Name, next.Version)
		for _, pair := range [][2]*fleet.Instance{{old, next}, {next, old}} {
			if err := pricePasses(ctx, pair[0], pair[1], concert, s.nextPrice()); err != nil {
				return err
			}
		}
		return s.noneCorrupt(ctx)
	})
	if err != nil {
		return "", err
	}
	return "no value was decoded by the other version", s.noneCorrupt(ctx)
}

// pricePasses is nil if a price that is changed on one instance is soon seen on another, which
// has the old one in its local tier.
func pricePasses(ctx context.Context, from, to *fleet.Instance, concert, cents int64) error {
	if err := ask(ctx, to, fmt.Sprintf("/api/concerts/%d", concert), nil); err != nil {
		return err
	}
	if err := setPrice(ctx, from, concert, cents); err != nil {
		return err
	}
	_, err := showsPrice(ctx, to, concert, cents, seenWithin)
	return err
}

// noneCorrupt is nil if no instance has found a record in Redis that it cannot decode.
func (s *Side) noneCorrupt(ctx context.Context) error {
	for _, i := range s.Instances() {
		now, err := stats(ctx, i)
		if err != nil {
			return err
		}
		if now.Corrupt > 0 {
			return fmt.Errorf("%s could not decode %d records", i.Name, now.Corrupt)
		}
	}
	return nil
}

// blueGreen puts a whole new fleet of the other version in the place of the old one, and
// switches back, as after a release that turned out to be wrong.
func blueGreen(ctx context.Context, w *World, s *Side) (string, error) {
	green, err := s.StartReady(ctx, s.otherVersion(), size)
	if err != nil {
		return "", err
	}
	w.event("switch %s to green", s.Name)
	blue, err := s.Switch(green)
	if err != nil {
		return "", err
	}
	pause(ctx, 400*time.Millisecond)
	if err := s.noneCorrupt(ctx); err != nil {
		return "", err
	}
	w.event("switch %s back to blue", s.Name)
	if _, err := s.Switch(blue); err != nil {
		return "", err
	}
	pause(ctx, 200*time.Millisecond)
	if err := s.End(green...); err != nil {
		return "", err
	}
	return fmt.Sprintf("to v%d and back to v%d", green[0].Version, blue[0].Version), s.noneCorrupt(ctx)
}
