package scenario

import (
	"context"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/page"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

const (
	watchEvery = 500 * time.Millisecond

	// statsWithin is how long an instance may take to tell its counts. One that hangs has no
	// answer.
	statsWithin = 200 * time.Millisecond
)

// Watch takes a Snapshot every half second, until ctx ends.
func (w *World) Watch(ctx context.Context, show func(page.Snapshot)) {
	watchers := [2]*watcher{{side: w.Cached}, {side: w.Plain}}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		var s page.Snapshot
		s.Redis = "in use"
		var reads tiers
		for k, into := range []*page.Side{&s.Cached, &s.Plain} {
			seen := watchers[k].look(ctx, into)
			if k == 0 {
				reads = seen
			}
		}
		if all := reads.local + reads.remote + reads.source; all > 0 {
			s.Local, s.Remote, s.Source = reads.local/all, reads.remote/all, reads.source/all
		}
		if watchers[0].away {
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

// watcher compares the counts of a side with its earlier counts.
type watcher struct {
	side     *Side
	at       time.Time
	queries  int64
	requests int64
	reads    map[string]tiers // by instance
	away     bool             // an instance does without Redis
}

// look fills into, and returns the reads since the last look.
func (w *watcher) look(ctx context.Context, into *page.Side) tiers {
	var now tiers
	reads := make(map[string]tiers)
	w.away = false
	for _, i := range w.side.Instances() {
		one := page.Instance{Name: i.Name, Version: i.Version, State: "no answer"}
		if st, err := quickStats(ctx, i.URL()); err == nil {
			one.State = st.State
			w.away = w.away || st.RedisAway
			seen := tiers{float64(st.Local), float64(st.Remote), float64(st.Missed)}
			before := w.reads[i.Name]
			now.local += seen.local - before.local
			now.remote += seen.remote - before.remote
			now.source += seen.source - before.source
			reads[i.Name] = seen
		} else if before, ok := w.reads[i.Name]; ok {
			reads[i.Name] = before
		}
		into.Instances = append(into.Instances, one)
	}
	w.reads = reads
	w.rates(ctx, into)
	if depth, err := w.side.Queue.Depth(ctx); err == nil {
		into.Queued, into.Dead = depth.Live, depth.Dead
	}
	into.Twice, into.Sold = w.side.Users.Ledger.Twice()
	return now
}

// rates fills in the counts for each second.
func (w *watcher) rates(ctx context.Context, into *page.Side) {
	counts, err := w.side.counts(ctx)
	if err != nil {
		return
	}
	queries, requests, at := counts.Reads, w.side.Users.Requests(), time.Now()
	if seconds := at.Sub(w.at).Seconds(); !w.at.IsZero() && seconds > 0 {
		into.Queries = float64(queries-w.queries) / seconds
		into.Requests = float64(requests-w.requests) / seconds
	}
	w.queries, w.requests, w.at = queries, requests, at
}

func quickStats(ctx context.Context, url string) (service.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, statsWithin)
	defer cancel()
	var out service.Stats
	err := read(ctx, url+"/statsz", &out)
	return out, err
}
