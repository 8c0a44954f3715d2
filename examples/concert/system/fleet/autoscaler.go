package fleet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/service"
)

// Autoscaler sets the number of instances of a Fleet by the requests in flight. Its algorithm is
// that of a HorizontalPodAutoscaler in Kubernetes. See the sections "Algorithm details" and
// "Stabilization window" of the documentation:
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
//
// Requests in flight are a measure of the load: a slow machine does not make them fewer.
type Autoscaler struct {
	Min, Max int
	Target   float64       // requests in flight of an instance
	Every    time.Duration // from one measurement to the next

	// Stabilize is for how long a smaller number has to be enough before instances are ended.
	Stabilize time.Duration

	desired []recommendation // of the last Stabilize; nil before the first
}

// recommendation is a number of instances that was desired at a time.
type recommendation struct {
	at        time.Time
	instances int
}

// tolerance is by how much the ratio of the measured to the target figure may differ from 1
// without an effect.
const tolerance = 0.1

// Desired returns ceil(current * measured / Target), within Min and Max. measured is the mean of
// the instances.
func (a *Autoscaler) Desired(current int, measured float64) int {
	n := current
	if ratio := measured / a.Target; math.Abs(ratio-1) > tolerance {
		n = int(math.Ceil(float64(current) * ratio))
	}
	return min(max(n, a.Min), a.Max)
}

// decide returns how many instances there have to be from now on: those that are desired, or, to
// end fewer, the most that were desired in the last Stabilize.
func (a *Autoscaler) decide(now time.Time, current int, measured float64) int {
	n := a.Desired(current, measured)
	if a.desired == nil { // what was desired before is not known
		a.desired = []recommendation{{now, current}}
	}
	a.desired = slices.DeleteFunc(a.desired, func(r recommendation) bool { return now.Sub(r.at) > a.Stabilize })
	a.desired = append(a.desired, recommendation{now, n})
	most := n
	for _, r := range a.desired {
		most = max(most, r.instances)
	}
	return max(n, min(current, most))
}

// Run scales a Fleet that has instances, until ctx ends. note is called before each change.
func (a *Autoscaler) Run(ctx context.Context, f *Fleet, note func(from, to int, measured float64)) error {
	tick := time.NewTicker(a.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := f.Instances()
		measured, err := inFlight(ctx, now)
		if err != nil {
			continue // without all figures nothing is decided
		}
		n := a.decide(time.Now(), len(now), measured)
		if n == len(now) {
			continue
		}
		note(len(now), n, measured)
		if err := f.Scale(ctx, n); err != nil && ctx.Err() == nil {
			return fmt.Errorf("scale %s to %d: %w", f.Name, n, err)
		}
	}
}

// inFlight returns the mean of the requests that instances have in flight.
func inFlight(ctx context.Context, instances []*Instance) (float64, error) {
	counts, errs := make([]int64, len(instances)), make([]error, len(instances))
	var asked sync.WaitGroup
	for k, i := range instances {
		asked.Go(func() { // at once, so that no request is seen in two of them
			var st service.Stats
			st, errs[k] = i.Stats(ctx)
			counts[k] = st.InFlight
		})
	}
	asked.Wait()
	sum := int64(0)
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / float64(len(instances)), errors.Join(errs...)
}
