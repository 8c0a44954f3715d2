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

	latest tiers // reads between two looks, the last that had any
	away   bool  // an instance does without Redis

	// queries and requests while users were active. At other times only scenarios read.
	queries, requests int64
}

// sample has the counts of a moment.
type sample struct {
	at                time.Time
	busy              bool
	queries, requests int64
}

func (w *watcher) look(ctx context.Context) page.Side {
	out := page.Side{Busy: w.side.busy.Load(), Failed: w.side.Users.Failures()}
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
	var since tiers
	reads := make(map[string]tiers)
	w.away = false
	for _, i := range w.side.Instances() {
		one := page.Instance{Name: i.Name, Version: i.Version, State: "no answer"}
		before := w.reads[i.Name]
		reads[i.Name] = before
		if st, err := i.Stats(ctx); err == nil {
			one.State = st.State
			w.away = w.away || st.RedisAway
			reads[i.Name] = tiers{float64(st.Local), float64(st.Remote), float64(st.Missed)}
			since.add(before, reads[i.Name])
		}
		out = append(out, one)
	}
	w.reads = reads
	if since.all() > 0 {
		w.latest = since
	}
	return out
}

// rates fills in the queries and requests of each second, and the queries for each request.
func (w *watcher) rates(ctx context.Context, into *page.Side) {
	counts, err := w.side.counts(ctx)
	if err != nil {
		return
	}
	before, now := w.before, sample{time.Now(), into.Busy, counts.Reads, w.side.Users.Requests()}
	w.before = now
	if before.at.IsZero() {
		return
	}
	queries, requests := now.queries-before.queries, now.requests-before.requests
	seconds := now.at.Sub(before.at).Seconds()
	into.Queries, into.Requests = float64(queries)/seconds, float64(requests)/seconds
	if before.busy && now.busy {
		w.queries += queries
		w.requests += requests
	}
	if w.requests > 0 {
		into.Each = float64(w.queries) / float64(w.requests)
	}
}
