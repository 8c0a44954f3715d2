package cachetest

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/nearside-go/nearside/cache/remote"
)

// lease is a lease that a Remote holds. Its token is the serial of its record, or the renewal
// of the value beside it.
type lease struct {
	r       *Remote
	key     string
	token   uint64
	granted time.Time

	mu    sync.Mutex // guards all below
	over  bool
	timer *time.Timer
}

func (r *Remote) grantLocked(key string) *lease {
	s := r.server
	token := s.putLocked(key, record{Record: remote.Record{State: remote.StateLease}}, s.leaseTTL())
	return &lease{r: r, key: key, token: token, granted: time.Now()}
}

// grantBesideLocked takes the lease of a value that stays.
func (r *Remote) grantBesideLocked(key string, value *record) *lease {
	s := r.server
	s.serial++
	value.renewal, value.until = s.serial, time.Now().Add(s.leaseTTL())
	return &lease{r: r, key: key, token: value.renewal, granted: time.Now()}
}

// standsLocked returns the lease's record, or nil if the lease is gone.
func (l *lease) standsLocked() *record {
	rec := l.r.server.aliveLocked(l.key)
	switch {
	case rec == nil:
	case rec.State == remote.StateLease && rec.serial == l.token,
		rec.State == remote.StateValue && rec.renewal == l.token:
		return rec
	}
	return nil
}

// keep renews the lease after the time first, and then every third of its TTL, until the lease
// is over, or hold has passed since the grant.
func (l *lease) keep(hold, first time.Duration) {
	every := l.r.server.leaseTTL() / 3
	until := l.granted.Add(hold)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(first, func() {
		if !l.renew() || !time.Now().Before(until) {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.over {
			l.timer.Reset(every)
		}
	})
}

func (l *lease) renew() (stands bool) {
	l.r.mu.Lock()
	crashed := l.r.crashed
	l.r.mu.Unlock()
	if crashed {
		return false
	}
	err := l.r.do(context.Background(), "renew", func(s *Server) {
		rec := l.standsLocked()
		if stands = rec != nil; !stands {
			return
		}
		switch end := time.Now().Add(s.leaseTTL()); {
		case rec.State == remote.StateLease:
			rec.expires = end
		case time.Until(rec.expires) > s.leaseTTL()/2: // it is there at the next renewal
			rec.until = end
		default:
			*rec = record{Record: remote.Record{State: remote.StateLease}, serial: l.token, expires: end}
		}
	})
	return stands || err != nil
}

func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.timer.Stop()
}

// Fill replaces the lease with a value, if it stands.
func (l *lease) Fill(ctx context.Context, f remote.Fill) (held bool, err error) {
	l.end()
	err = l.r.do(ctx, "fill", func(*Server) { held = l.fillLocked(f) })
	if errors.Is(err, ErrFull) {
		return l.noRoom(), err
	}
	return held && err == nil, err
}

func (l *lease) fillLocked(f remote.Fill) (held bool) {
	if l.standsLocked() == nil {
		return false
	}
	s := l.r.server
	value := remote.Record{State: remote.StateValue, Payload: f.Payload, NotFound: f.NotFound, TTL: f.TTL,
		Window: f.Window, LoadTime: f.LoadTime, Stamp: f.Stamp, Tags: f.Tags}
	deadline := l.granted.Add(f.MaxAge)
	ttl := min(f.TTL, time.Until(deadline))
	if ttl <= 0 {
		s.removeLocked(l.key)
		return true
	}
	s.putLocked(l.key, record{Record: value, deadline: deadline}, ttl+min(f.Window, math.MaxInt64-ttl))
	return true
}

// noRoom removes the lease, or the value that has it, because a fill has failed with ErrFull.
func (l *lease) noRoom() (held bool) {
	l.r.server.mu.Lock()
	defer l.r.server.mu.Unlock()
	if held = l.standsLocked() != nil; held {
		l.r.server.removeLocked(l.key)
	}
	return held
}

// Release gives the lease up.
func (l *lease) Release(ctx context.Context) (held bool, err error) {
	l.end()
	err = l.r.do(ctx, "release", func(*Server) { held = l.releaseLocked() })
	return held && err == nil, err
}

func (l *lease) releaseLocked() (held bool) {
	rec := l.standsLocked()
	switch {
	case rec == nil:
		return false
	case rec.State == remote.StateValue:
		rec.renewal, rec.until = 0, time.Time{}
	default:
		l.r.server.removeLocked(l.key)
	}
	return true
}
