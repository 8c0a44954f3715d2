// Package load plays the users of the service, and counts how they fare.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Concerts and Seats are the size of the database for a load.
	Concerts = 300
	Seats    = 500

	users = 10
	pace  = 6 * time.Millisecond // from the answer to the next request of a user

	// most is how many connections are kept for users that come in a crowd.
	most = 64

	// timeout is how long a user waits. An answer that comes later is a failure.
	timeout = 5 * time.Second
)

// Users play against one front. They go on from load to load with the same sessions and the
// same Ledger.
type Users struct {
	Ledger Ledger

	url      string
	client   *http.Client
	accounts []account
	serial   atomic.Int64
	sent     atomic.Int64
	failed   atomic.Int64
}

// account is the session of a user.
type account struct{ email, token string }

// Requests returns how many requests the users have sent.
func (u *Users) Requests() int64 { return u.sent.Load() }

// Failures returns how many requests of loads have failed.
func (u *Users) Failures() int64 { return u.failed.Load() }

// NewUsers signs users up at the service at url.
func NewUsers(ctx context.Context, url string) (*Users, error) {
	u := &Users{url: url, client: &http.Client{
		Timeout: timeout, Transport: &http.Transport{MaxIdleConnsPerHost: most},
	}}
	for n := range users {
		email := fmt.Sprintf("user-%d@example.org", n)
		token, err := u.SignUp(ctx, email)
		if err != nil {
			return nil, err
		}
		u.accounts = append(u.accounts, account{email, token})
	}
	return u, nil
}

// Report is the result of a load.
type Report struct {
	Failures int
	P50, P99 time.Duration
	First    error // the first failure
}

// Running is a load under way. It is for one goroutine at a time.
type Running struct {
	users  *Users
	ctx    context.Context
	stop   context.CancelFunc // ends the users that are there now
	active sync.WaitGroup
	parts  []*part
}

// part is the result of one user.
type part struct {
	latencies []time.Duration
	failures  int
	first     error
}

// Start starts a load of the usual users, which goes on until Stop.
func (u *Users) Start(ctx context.Context) *Running {
	r := &Running{users: u, ctx: ctx, stop: func() {}}
	r.Usual()
	return r
}

// Usual makes the load that of the usual users.
func (r *Running) Usual() {
	r.change(users, pace, func() func(*visit) error { return (*visit).any })
}

// Watch replaces the load by n users that watch the seats of a concert each.
func (r *Running) Watch(n int) { r.change(n, 0, watcher) }

// change replaces the users by n others. A user sends one request, waits for the answer, pauses,
// and sends the next one. user returns the function that sends the requests of one user.
func (r *Running) change(n int, pause time.Duration, user func() func(*visit) error) {
	r.stop()
	ctx, stop := context.WithCancel(r.ctx)
	r.stop = stop
	for k := range n {
		p := &part{}
		r.parts = append(r.parts, p)
		r.active.Go(func() { r.users.work(ctx, k, p, pause, user()) })
	}
}

// work sends the requests of a user. One that is under way when ctx ends is waited for.
func (u *Users) work(ctx context.Context, n int, p *part, pace time.Duration, request func(*visit) error) {
	random := rand.New(rand.NewPCG(uint64(n), uint64(u.serial.Add(1))))
	popular := rand.NewZipf(random, 1.2, 8, Concerts-1)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		v := visit{Users: u, ctx: context.WithoutCancel(ctx), random: random, account: u.accounts[n%users], concert: 1 + int64(popular.Uint64())}
		begun := time.Now()
		err := request(&v)
		p.latencies = append(p.latencies, time.Since(begun))
		if err != nil {
			p.failures++
			u.failed.Add(1)
			if p.first == nil {
				p.first = err
			}
		}
		pause.Reset(pace)
	}
}

// Stop ends the load, and returns its Report.
func (r *Running) Stop() Report {
	r.stop()
	r.active.Wait()
	var out Report
	var all []time.Duration
	for _, p := range r.parts {
		all = append(all, p.latencies...)
		out.Failures += p.failures
		if out.First == nil {
			out.First = p.first
		}
	}
	slices.Sort(all)
	out.P50, out.P99 = Percentile(all, 50), Percentile(all, 99)
	return out
}

// Percentile returns a percentile of sorted durations, by nearest rank; 0 of none.
func Percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}
