package scenario

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/page"
)

const watchEvery = 500 * time.Millisecond

// Watch takes a Snapshot every half second, until ctx ends.
func (w *World) Watch(ctx context.Context, show func(page.Snapshot)) {
	cached, plain := watcher{side: w.Cached}, watcher{side: w.Plain}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		s := page.Snapshot{Redis: "in use", Cached: cached.look(ctx), Plain: plain.look(ctx)}
		if name := w.playing.Load(); name != nil {
			s.Scenario = *name
		}
		if all := cached.latest.all(); all > 0 {
			s.Local, s.Remote, s.Source = cached.latest.local/all, cached.latest.remote/all, cached.latest.source/all
		}
		if cached.away {
			s.Redis = "away"
		}
		show(s)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tiers are the reads that each tier has answered.
type tiers struct{ local, remote, source float64 }

func (t tiers) all() float64 { return t.local + t.remote + t.source }

// fade makes earlier reads count for less than those that are added.
func (t *tiers) fade() {
	const by = 0.9 // for each look: those of five seconds ago count for a third
	t.local, t.remote, t.source = by*t.local, by*t.remote, by*t.source
}

// add adds the reads between two counts.
func (t *tiers) add(before, after tiers) {
	t.local += after.local - before.local
	t.remote += after.remote - before.remote
	t.source += after.source - before.source
}

// watcher compares the counts of a side with its earlier counts.
type watcher struct {
	side   *Side
	before sample
	reads  map[string]tiers // by instance

	latest tiers // reads, the latest of which count most
	away   bool  // an instance does without Redis
}

// sample has the counts of a moment.
type sample struct {
	at                time.Time
	queries, requests int64
}

func (w *watcher) look(ctx context.Context) page.Side {
	out := page.Side{Busy: w.side.busy.Load(), Failed: w.side.Users.Failures()}
	if requests := w.side.requests.Load(); requests > 0 {
		out.Each = float64(w.side.queries.Load()) / float64(requests)
	}
	out.Instances = w.instances(ctx)
	w.rates(ctx, &out)
	if depth, err := w.side.Queue.Depth(ctx); err == nil {
		out.Queued, out.Dead = depth.Live, depth.Dead
	}
	out.Twice, out.Sold = w.side.Users.Ledger.Twice()
	return out
}

// instances asks each instance for its state and its reads.
func (w *watcher) instances(ctx context.Context) (out []page.Instance) {
	reads := make(map[string]tiers)
	w.away = false
	w.latest.fade()
	for _, i := range w.side.Instances() {
		one := page.Instance{Name: i.Name, Version: i.Version, State: "no answer"}
		before := w.reads[i.Name]
		reads[i.Name] = before
		if st, err := i.Stats(ctx); err == nil {
			one.State = st.State
			w.away = w.away || st.RedisAway
			reads[i.Name] = tiers{float64(st.Local), float64(st.Remote), float64(st.Missed)}
			w.latest.add(before, reads[i.Name])
		}
		out = append(out, one)
	}
	w.reads = reads
	return out
}

// rates fills in the queries and requests of each second.
func (w *watcher) rates(ctx context.Context, into *page.Side) {
	counts, err := w.side.counts(ctx)
	if err != nil {
		return
	}
	before, now := w.before, sample{time.Now(), counts.Reads, w.side.Users.Requests()}
	w.before = now
	if before.at.IsZero() {
		return
	}
	seconds := now.at.Sub(before.at).Seconds()
	into.Queries = float64(now.queries-before.queries) / seconds
	into.Requests = float64(now.requests-before.requests) / seconds
}
