package cachetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// GetMany reads the records of keys.
func (r *Remote) GetMany(ctx context.Context, keys []string, confirm bool) []remote.Reply {
	got := make([]remote.Reply, len(keys))
	var end remote.Position
	err := r.do(ctx, "get", func(s *Server) {
		for i, key := range keys {
			got[i].Record = s.recordLocked(key)
		}
		end = s.end
	})
	if err != nil {
		return allFailed(len(keys), err)
	}
	complete := confirm && r.reader.reached(end)
	for i := range got {
		got[i].Record.Complete = complete
	}
	return got
}

func allFailed(n int, err error) []remote.Reply { return slices.Repeat([]remote.Reply{{Err: err}}, n) }

// LeaseMany takes leases.
func (r *Remote) LeaseMany(ctx context.Context, asks []remote.LeaseAsk, hold time.Duration) []remote.Reply {
	got, leases := make([]remote.Reply, len(asks)), make([]*lease, len(asks))
	err := r.do(ctx, "lease", func(*Server) {
		for i, ask := range asks {
			leases[i], got[i].Record = r.leaseLocked(ask)
		}
	})
	if err != nil {
		return allFailed(len(asks), err)
	}
	for i, l := range leases {
		if l == nil {
			continue
		}
		got[i].Lease = l
		if asks[i].Beside {
			l.keep(hold, r.server.leaseTTL()/12) // the value may end soon
		} else {
			l.keep(hold, r.server.leaseTTL()/3)
		}
	}
	return got
}

// leaseLocked takes a lease, or returns the record that stands.
func (r *Remote) leaseLocked(ask remote.LeaseAsk) (*lease, remote.Record) {
	s := r.server
	rec := s.recordLocked(ask.Key)
	named := string(rec.Version) == string(ask.Replace)
	switch {
	case !ask.Beside && (rec.State == remote.StateAbsent || len(ask.Replace) == 8 && named):
		return r.grantLocked(ask.Key), remote.Record{}
	case !ask.Beside || rec.State != remote.StateValue || !named || rec.Window == 0 && rec.LoadTime == 0:
		return nil, rec
	}
	value := s.records[ask.Key]
	if time.Now().Before(value.until) {
		rec.Leased = true
		return nil, rec
	}
	return r.grantBesideLocked(ask.Key, value), rec
}

// EndMany ends leases of this Remote.
func (r *Remote) EndMany(ctx context.Context, ends []remote.LeaseEnd) []remote.Ended {
	op, got := "release", make([]remote.Ended, len(ends))
	for _, e := range ends {
		if e.Fill != nil {
			op = "fill"
		}
		e.Lease.(*lease).end()
	}
	err := r.do(ctx, op, func(*Server) {
		for i, e := range ends {
			if l := e.Lease.(*lease); e.Fill == nil {
				got[i].Held = l.releaseLocked()
			} else {
				got[i].Held = l.fillLocked(*e.Fill)
			}
		}
	})
	if err == nil {
		return got
	}
	for i, e := range ends {
		full := errors.Is(err, ErrFull) && e.Fill != nil
		got[i] = remote.Ended{Held: full && e.Lease.(*lease).noRoom(), Err: err}
	}
	return got
}

// TouchMany starts the TTLs of values again.
func (r *Remote) TouchMany(ctx context.Context, keys []string) (renewed int, err error) {
	err = r.do(ctx, "touch", func(s *Server) {
		for _, key := range keys {
			if s.touchLocked(key) > 0 {
				renewed++
			}
		}
	})
	return renewed, err
}
