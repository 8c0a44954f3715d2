package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/cache/remote"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// gated is a hook that holds pipelines back until its gate is opened, and notes how many
// commands each has.
type gated struct {
	mu   sync.Mutex // guards all below
	gate chan struct{}
	seen []int
	back int   // pipelines that are over
	runs []int // the commands of each pipeline of scripts, which are not held back
}

// next opens the gate for what waits there, and returns the gate for what comes later.
func (g *gated) next() (gate chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.gate)
	g.gate = make(chan struct{})
	return g.gate
}

func (g *gated) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (g *gated) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (g *gated) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if cmds[0].Name() == "get" {
			g.mu.Lock()
			g.seen = append(g.seen, len(cmds))
			gate := g.gate
			g.mu.Unlock()
			<-gate
			defer func() {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.back++
			}()
		} else if strings.HasPrefix(cmds[0].Name(), "eval") {
			g.mu.Lock()
			g.runs = append(g.runs, len(cmds))
			g.mu.Unlock()
		}
		return next(ctx, cmds)
	}
}

func (g *gated) trips() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen[:len(g.seen):len(g.seen)]
}

// scripts returns how many commands each pipeline of scripts had.
func (g *gated) scripts() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.runs[:len(g.runs):len(g.runs)]
}

// over is how many pipelines are over.
func (g *gated) over() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.back
}

// joining returns a Store with small records of so many keys, whose reads wait for a gate.
func joining(t *testing.T, o redis.Options, keys int) (*redis.Store, *gated) {
	t.Helper()
	return joiningOf(t, o, keys, func(i int) []byte { return fmt.Append(nil, i) })
}

func joiningOf(t *testing.T, o redis.Options, keys int, payload func(int) []byte) (*redis.Store, *gated) {
	t.Helper()
	server := redistest.Start(t)
	o.Prefix = prefix(t)
	filler := open(t, server.URL(), redis.Options{Prefix: o.Prefix, Timeout: patient.Timeout})
	for i := range keys {
		l, _, err := filler.Lease(t.Context(), fmt.Sprint("c:0:", i), time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		fill := remote.Fill{Payload: payload(i), TTL: time.Minute, MaxAge: time.Minute}
		if held, err := l.Fill(t.Context(), fill); err != nil || !held {
			t.Fatal(held, err)
		}
	}
	s := open(t, server.URL(), o)
	if _, err := s.Get(t.Context(), "c:0:0", false); err != nil { // which shows how large records are
		t.Fatal(err)
	}
	g := &gated{gate: make(chan struct{})}
	redis.ClientOf(s).AddHook(g)
	return s, g
}

// want reads key i, and wants its payload.
func want(t *testing.T, s *redis.Store, i int) {
	rec, err := s.Get(t.Context(), fmt.Sprint("c:0:", i), false)
	if err != nil || rec.State != remote.StateValue || string(rec.Payload) != fmt.Sprint(i) {
		t.Errorf("Get of %d: %v, %q, %v", i, rec.State, rec.Payload, err)
	}
}

// Reads that find four round trips under way share the next ones.
func TestReadsShareRoundTrips(t *testing.T) {
	t.Parallel()
	const keys, lone, shared = 104, 4, 64
	s, g := joining(t, patient, keys)
	var reading sync.WaitGroup
	for i := range keys {
		if i == lone {
			redistest.Eventually(t, soon, "four reads are sent", func() bool { return len(g.trips()) == lone })
		}
		reading.Go(func() { want(t, s, i) })
	}
	redistest.Eventually(t, soon, "the others wait", func() bool { return redis.Queued(s) == keys-lone })
	close(g.gate)
	reading.Wait()
	got := g.trips()
	slices.Sort(got)
	if want := []int{2, 2, 2, 2, 2 * (keys - lone - shared), 2 * shared}; !slices.Equal(got, want) {
		t.Errorf("round trips with %v commands, want %v", got, want)
	}
}

// A read that waits for others has its own budget, and its own context. The others do not
// notice when it leaves.
func TestAReadThatWaitsLeavesInTime(t *testing.T) {
	t.Parallel()
	s, g := joining(t, redis.Options{Timeout: 3 * time.Second, MaxFailures: 1000}, 10) // longer than a machine stalls
	var reading sync.WaitGroup
	for i := range 4 {
		reading.Go(func() { _, _ = s.Get(t.Context(), fmt.Sprint("c:0:", i), false) })
	}
	redistest.Eventually(t, soon, "four reads are sent", func() bool { return len(g.trips()) == 4 })
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := s.Get(ctx, "c:0:4", false); left <- err }()
	redistest.Eventually(t, soon, "one waits", func() bool { return redis.Queued(s) == 1 })
	leave()
	if err := <-left; err != context.Canceled {
		t.Errorf("a caller who left got %v", err)
	}
	if _, err := s.Get(t.Context(), "c:0:5", false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a read that nobody sent: %v", err)
	}
	if n := redis.Queued(s); n != 0 {
		t.Errorf("%d reads are left in the queue", n)
	}
	close(g.gate)
	reading.Wait()
	redistest.Eventually(t, soon, "reads succeed again", func() bool {
		_, err := s.Get(t.Context(), "c:0:6", false)
		return err == nil
	})
	want(t, s, 7)
}

// A crowd of readers on one Store, of caches that confirm and caches that do not.
func TestJoinedReadsAreOfTheirKeys(t *testing.T) {
	t.Parallel()
	const keys = 50
	s, g := joining(t, patient, keys)
	close(g.gate)
	var reading sync.WaitGroup
	for n := range 64 {
		reading.Go(func() {
			for i := range keys {
				want(t, s, (i+n)%keys)
			}
		})
	}
	reading.Wait()
}

// Large records: together they would take longer than the budget that each has time for
// alone. A Store that has read none yet does not know how large they are.
func TestLargeRecordsAreNotJoined(t *testing.T) {
	t.Parallel()
	const keys = 12
	s, g := joiningOf(t, patient, keys, func(int) []byte { return make([]byte, 300_000) })
	var reading sync.WaitGroup
	for i := range keys {
		reading.Go(func() {
			if rec, err := s.Get(t.Context(), fmt.Sprint("c:0:", i), false); err != nil || len(rec.Payload) != 300_000 {
				t.Errorf("Get: %d bytes, %v", len(rec.Payload), err)
			}
		})
	}
	redistest.Eventually(t, soon, "all reads are sent", func() bool { return len(g.trips()) == keys })
	if n := redis.Queued(s); n != 0 {
		t.Errorf("%d reads wait", n)
	}
	close(g.gate)
	reading.Wait()
	for i, n := range g.trips() {
		if n != 2 {
			t.Errorf("round trip %d has %d commands, want 2", i, n)
		}
	}
}

// Reads that are queued when the Store is closed, and those that come later, return at
// once.
func TestReadsThatWaitWhenTheStoreIsClosed(t *testing.T) {
	t.Parallel()
	s, g := joining(t, redis.Options{Timeout: time.Minute}, 8)
	errs := make(chan error, 300)
	var reading sync.WaitGroup
	for i := range 4 {
		reading.Go(func() { _, _ = s.Get(t.Context(), fmt.Sprint("c:0:", i), false) })
	}
	redistest.Eventually(t, soon, "four reads are sent", func() bool { return len(g.trips()) == 4 })
	for range cap(errs) {
		reading.Go(func() { _, err := s.Get(t.Context(), "c:0:4", false); errs <- err })
	}
	redistest.Eventually(t, soon, "the others wait", func() bool { return redis.Queued(s) == cap(errs) })
	_ = s.Close()
	close(g.gate)
	reading.Wait()
	for range cap(errs) {
		if err := <-errs; !errors.Is(err, remote.ErrUnavailable) {
			t.Fatalf("a read that waited: %v, want ErrUnavailable", err)
		}
	}
	if _, err := s.Get(t.Context(), "c:0:5", false); !errors.Is(err, remote.ErrUnavailable) {
		t.Errorf("a read after Close: %v, want ErrUnavailable", err)
	}
}
