package simulation

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/history"
)

// The kinds of faults that are recorded for the judge.
const (
	logCut     = "log cut"
	logStalled = "log stalled"
)

// Play runs the fleet of that seed for a duration, in the caller's bubble, and returns the
// history. wrap makes each instance's Tier from the real one: a Tier that breaks the
// contract shows whether the judge finds the violations.
func Play(seed uint64, long time.Duration, wrap func(remote.Tier) remote.Tier, o Options) (history.History, error) {
	w := newWorld(seed, wrap)
	w.options = o
	for range instances {
		if err := w.join(); err != nil {
			return history.History{}, err
		}
	}
	for time.Since(w.began) < long {
		time.Sleep(w.upTo(200 * time.Millisecond))
		if err := w.strike(); err != nil {
			return history.History{}, err
		}
	}
	err := w.settle()
	return w.history.History(), err
}

// Options are those of the caches of a fleet.
type Options struct {
	Windows bool // values end after milliseconds, and are served stale
	Down    bool // local copies stand in for loads while the remote tier does not answer

	Redeliver bool // writes are followed by Redeliver, as by a queue of invalidations that failed
}

// Bounds returns the promises by which a fleet is judged.
func (o Options) Bounds() history.Options {
	faulty := history.Bound{Longest: localTTL + delivery, Recovery: delivery}
	if o.Down {
		faulty.Longest += downFor
	}
	return history.Options{Delivery: delivery, Faulty: map[string]history.Bound{logCut: faulty, logStalled: faulty}}
}

func (w *world) join() error {
	i, err := w.newInstance()
	if err == nil {
		w.fleet = append(w.fleet, i)
		i.run()
	}
	return err
}

// strike injects one random fault.
func (w *world) strike() error {
	n := w.intN(len(w.fleet))
	i := w.fleet[n]
	start := w.now()
	switch w.intN(9) {
	case 0, 1:
		i.remote.CutLog()
		time.Sleep(w.upTo(3 * localTTL / 2))
		if w.intN(3) == 0 {
			w.server.TrimLog()
		}
		i.remote.MendLog()
		w.faults.Fault(history.Fault{Kind: logCut, Instance: i.number, Start: start, End: w.now()})
	case 2, 3:
		d := w.upTo(stall)
		i.set(false, d)
		time.Sleep(w.upTo(localTTL))
		i.set(false, 0)
		w.faults.Fault(history.Fault{Kind: logStalled, Instance: i.number, Start: start, End: w.now() + int64(d)})
	case 4:
		w.server.TrimLog()
	case 5:
		w.server.EvictTags()
	case 6:
		w.server.Wipe()
		time.Sleep(time.Second / 10) // a Mutate without its tombstones ends before a death
	default:
		return w.replace(n)
	}
	return nil
}

// replace makes an instance die, and another join.
func (w *world) replace(n int) error {
	w.die(n)
	return w.join()
}

// die makes an instance die, in the middle of its work.
func (w *world) die(n int) {
	i := w.fleet[n]
	i.set(true, 0)
	i.remote.Crash()
	i.remote.CutLog()
	w.fleet = append(w.fleet[:n:n], w.fleet[n+1:]...)
	i.stop()
	_ = i.cache.Close()
}

// settle ends the writes and the faults, and records the values at rest. The last fault is
// the death of an instance, so that no later write removes the values that the death leaves
// behind.
func (w *world) settle() error {
	for _, i := range w.fleet[1:] {
		close(i.over)
	}
	w.die(0)
	for _, i := range w.fleet {
		i.wg.Wait()
	}
	w.calm.Store(true)
	late, err := w.newInstance()
	if err != nil {
		return err
	}
	time.Sleep(mutateTimeout + time.Second/10) // tombstones of the dead lapse
	for key := keys - mutated; key < keys; key++ {
		w.faults.Invalidated(history.Invalidated{Instance: -1, Key: keyName(key), Version: w.versions[key], Start: w.now(), End: w.now()})
	}
	for _, i := range append(w.fleet, late) {
		tier := "local"
		if i == late {
			tier = "redis"
		}
		for key := range keys {
			if v, err := i.cache.Get(context.Background(), key); err == nil {
				w.faults.Rest(history.Rest{Tier: tier, Instance: i.number, Key: keyName(key), Version: v.Version, At: w.now()})
			}
		}
	}
	for _, i := range append(w.fleet, late) {
		_ = i.cache.Close()
	}
	return nil
}
