package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/fleet"
)

// perInstance is how many requests in flight the autoscaler wants an instance to have.
const perInstance = 3

// crowds are the users that come one after the other, each of whom has one request in flight,
// and how many instances are to serve them. A user is between two requests for a moment, so the
// crowds are larger than what would just do.
var crowds = []struct{ users, instances int }{{2, 1}, {18, 4}, {5, 2}}

// scaledWithin is how soon the fleet has to have its size, on a busy machine.
const scaledWithin = 30 * time.Second

// scale lets an autoscaler set the size of the fleet, while the users become fewer and more. They
// watch the seats of a concert, so their requests are in flight as long as nobody buys one.
func scale(ctx context.Context, w *World, s *Side) (remark string, err error) {
	a := fleet.Autoscaler{Min: 1, Max: 4, Target: perInstance, Every: 100 * time.Millisecond, Stabilize: time.Second}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var scaling sync.WaitGroup
	ended := make(chan error, 1)
	scaling.Go(func() {
		ended <- a.Run(running, s.Fleet, func(from, to int, measured float64) {
			w.event("%s scales from %d to %d: %.1f requests in flight in each, %d wanted", s.Name, from, to, measured, perInstance)
		})
	})
	var sizes []string
	for _, c := range crowds {
		w.event("%d users watch the seats of a concert", c.users)
		s.load.Watch(c.users)
		_, err = until(ctx, scaledWithin, fmt.Sprintf("%d instances for %d users", c.instances, c.users), func() (bool, error) {
			return len(s.Instances()) == c.instances, nil
		})
		if err != nil {
			break
		}
		sizes = append(sizes, fmt.Sprintf("%d for %d users", c.instances, c.users))
	}
	stop()
	scaling.Wait()
	s.load.Usual()
	if err = errors.Join(err, <-ended); err != nil {
		return "", err
	}
	return "instances: " + strings.Join(sizes, ", "), s.Scale(ctx, size)
}
