package redis_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

func TestInstancesThatMissTogetherLoadOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	load := newBlocked(t, "v", nil)
	var fleet []*cache.Cache[string, string]
	var calls []<-chan call
	for range 3 {
		c := join(t, server, redis.Options{}, cache.Options[string, string]{})
		fleet, calls = append(fleet, c), append(calls, start(t, c, load.load))
	}
	redistest.Eventually(t, soon, "two instances wait for the third", func() bool {
		waits := uint64(0)
		for _, c := range fleet {
			waits += c.Stats().LeaseWaits
		}
		return waits == 2
	})
	close(load.let)
	for _, done := range calls {
		wantCall(t, done, "v")
	}
	if n := load.runs.Load(); n != 1 {
		t.Errorf("%d loads in the fleet, want 1", n)
	}
}

func TestLongLoadKeepsItsLease(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	// A machine that stands still for a third of it loses the lease.
	o := redis.Options{LeaseTTL: 6 * time.Second, Timeout: patient.Timeout, Prefix: prefix(t)}
	s := open(t, server.URL(), o)
	load := newBlocked(t, "v", nil)
	first := start(t, cacheOn(t, s, cache.Options[string, string]{}), load.load)
	<-load.started
	b := join(t, server, o, cache.Options[string, string]{})
	second := start(t, b, load.load)
	held := time.Now()
	redistest.Eventually(t, 2*soon, "the lease is renewed, and outlives its TTL", func() bool {
		return s.Stats().LeasesRenewed >= 4 && time.Since(held) > o.LeaseTTL*4/3
	})
	waitsFor(t, b)
	close(load.let)
	wantCall(t, first, "v")
	wantCall(t, second, "v")
	if n := load.runs.Load(); n != 1 {
		t.Errorf("%d loads, want 1: %+v, %+v", n, s.Stats(), b.Stats())
	}
}

// holderURL tells a process of this test binary that it is the one to be killed.
const holderURL = "NEARSIDE_LEASE_HOLDER_URL"

func TestMain(m *testing.M) {
	if url := os.Getenv(holderURL); url != "" {
		panic(holdLease(url))
	}
	if url := os.Getenv(mutatorURL); url != "" {
		panic(mutateForever(url))
	}
	if client := os.Getenv(quietClient); client != "" {
		fmt.Fprintln(os.Stdout, readQuietly(client))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// holdLease says when its load has begun, and ends with its standard input, if
// it lives that long.
func holdLease(url string) error {
	o := patient
	o.LeaseTTL = deadLeaseTTL
	s, err := redis.Open(url, o)
	if err != nil {
		return err
	}
	c, err := cache.New(cache.Options[string, string]{Name: "c", TTL: time.Hour, Remote: s})
	if err != nil {
		return err
	}
	_, err = c.GetOrLoad(context.Background(), "k", func(context.Context, string) (string, error) {
		os.Stdout.WriteString("loading\n")
		_, err := io.Copy(io.Discard, os.Stdin)
		return "", errors.Join(err, errors.New("nobody killed this process"))
	})
	return err
}

// deadLeaseTTL is so long that a busy process renews its lease in time.
const deadLeaseTTL = 9 * time.Second

// holder starts a process that holds the lease of "k", and returns what kills it.
func holder(t *testing.T, server *redistest.Server) (kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), holderURL+"="+server.URL())
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "loading\n" {
		t.Fatalf("the process said %q, %v", line, err)
	}
	return kill
}

func TestAnotherTakesOverFromAKilledLeaseHolder(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	kill := holder(t, server)
	o := redis.Options{Timeout: patient.Timeout, LeaseTTL: deadLeaseTTL, Prefix: redis.DefaultPrefix}
	load := newBlocked(t, "v", nil)
	close(load.let)
	var calls []<-chan call
	for range 2 {
		c := join(t, server, o, cache.Options[string, string]{WaitTimeout: time.Minute})
		calls = append(calls, start(t, c, load.load))
		waitsFor(t, c)
	}
	<-time.After(deadLeaseTTL * 3 / 2)
	if n := load.runs.Load(); n != 0 {
		t.Errorf("%d loads while the holder of the lease lived", n)
	}
	killed := time.Now()
	kill()
	<-load.started
	if took := took(killed); took > deadLeaseTTL+2*time.Second {
		t.Errorf("the others took over %v after the kill, with a LeaseTTL of %v", took, deadLeaseTTL)
	}
	for _, done := range calls {
		wantCall(t, done, "v")
	}
	if n := load.runs.Load(); n != 1 {
		t.Errorf("%d loads after the kill, want 1", n)
	}
	wantGet(t, join(t, server, o, cache.Options[string, string]{}), "k", "v")
}

func TestNobodyWaitsForAKilledLeaseHolderBeyondTheBound(t *testing.T) {
	t.Parallel()
	const bound = 100 * time.Millisecond
	server := redistest.Start(t)
	kill := holder(t, server)
	kill()
	key := redis.DefaultPrefix + ":c:0:k"
	if err := server.Client().PExpire(t.Context(), key, time.Minute).Err(); err != nil {
		t.Fatal(err) // as if its LeaseTTL were a minute
	}
	c := join(t, server, redis.Options{Prefix: redis.DefaultPrefix}, cache.Options[string, string]{WaitTimeout: bound})
	asked := time.Now()
	got := wantCall(t, start(t, c, yields[string]("own")), "own")
	if lost, _ := stalls.Since(asked); got.took < bound || got.took-lost > bound+5*time.Second {
		t.Errorf("GetOrLoad took %v, with a WaitTimeout of %v", got.took, bound)
	}
	if n := server.Client().Exists(t.Context(), key).Val(); n != 1 {
		t.Error("the lease that was waited for is gone")
	}
}

// Not parallel: its times are worth reporting only if nothing else runs.
func TestOneLoadInTheFleet(t *testing.T) {
	const instances, callers, loadTime = 8, 100, 50 * time.Millisecond
	server := redistest.Start(t)
	var loads atomic.Int32
	load := func(context.Context, string) (string, error) {
		loads.Add(1)
		<-time.After(loadTime)
		return "v", nil
	}
	begin := make(chan struct{})
	waits := make([]time.Duration, instances*callers)
	var ready, done sync.WaitGroup
	for i := range instances {
		c := join(t, server, redis.Options{}, cache.Options[string, string]{})
		wantMiss(t, c, "other") // connects
		for j := range callers {
			ready.Add(1)
			done.Go(func() {
				ready.Done()
				<-begin
				asked := time.Now()
				v, err := c.GetOrLoad(t.Context(), "k", load)
				waits[i*callers+j] = time.Since(asked)
				if err != nil || v != "v" {
					t.Errorf("GetOrLoad = %q, %v", v, err)
				}
			})
		}
	}
	ready.Wait()
	close(begin)
	done.Wait()
	if n := loads.Load(); n != 1 {
		t.Errorf("%d loads in the fleet, want 1", n)
	}
	slices.Sort(waits)
	t.Logf("%d instances x %d callers, one cold key, a load of %v: %d load, median wait %v, worst %v",
		instances, callers, loadTime, loads.Load(), waits[len(waits)/2], waits[len(waits)-1])
}

// Whatever the late holder does, in whatever state the winner of the lease is,
// only its own waiter sees the old value.
func TestHolderOfALostLeaseNeitherFillsNorReleases(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	failure := errors.New("the old load failed")
	for name, end := range map[string]struct {
		err   error // of the late load
		early bool  // it ends before the winner's
	}{
		"fills into the winner's lease": {nil, true},
		"fills over the winner's value": {nil, false},
		"releases the winner's lease":   {failure, true},
		"releases the winner's value":   {failure, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := join(t, server, redis.Options{}, cache.Options[string, string]{})
			b := join(t, server, redis.Options{}, cache.Options[string, string]{})
			old, renewed := newBlocked(t, "old", end.err), newBlocked(t, "new", nil)
			late := start(t, a, old.load)
			<-old.started
			if err := b.Invalidate(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			winner := start(t, b, renewed.load)
			<-renewed.started
			finishOld := func() {
				close(old.let)
				if got := <-late; !errors.Is(got.err, end.err) || (end.err == nil && got.value != "old") {
					t.Errorf("the late holder's waiter got %q, %v", got.value, got.err)
				}
				idle(t, a)
			}
			finishNew := func() {
				close(renewed.let)
				wantCall(t, winner, "new")
			}
			if end.early {
				lease := server.Client().Get(t.Context(), record(t, "k")).Val()
				finishOld()
				if now := server.Client().Get(t.Context(), record(t, "k")).Val(); now != lease || lease == "" {
					t.Errorf("the winner's lease was %q and is %q", lease, now)
				}
				finishNew()
			} else {
				finishNew()
				finishOld()
			}
			for _, c := range []*cache.Cache[string, string]{a, b, join(t, server, redis.Options{}, cache.Options[string, string]{})} {
				wantGet(t, c, "k", "new")
			}
			if n := a.Stats().RefusedFills; (n == 1) != (end.err == nil) {
				t.Errorf("%d refused fills of the late holder", n)
			}
		})
	}
}

func TestCallerAtTheBoundOfItsWaitStoresNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := join(t, server, redis.Options{}, cache.Options[string, string]{})
	b := join(t, server, redis.Options{}, cache.Options[string, string]{WaitTimeout: 50 * time.Millisecond})
	winners := newBlocked(t, "winner's", nil)
	winner := start(t, a, winners.load)
	<-winners.started
	impatient := start(t, b, func(context.Context, string) (string, error) {
		close(winners.let)
		wantCall(t, winner, "winner's") // it has filled
		return "own", nil
	})
	if got := wantCall(t, impatient, "own"); got.took < 50*time.Millisecond {
		t.Errorf("waited %v for another's load", got.took)
	}
	if s := b.Stats(); s.RefusedFills != 1 || s.LocalEntries != 0 {
		t.Errorf("%d refused fills, %d local entries; want 1 and 0", s.RefusedFills, s.LocalEntries)
	}
	for _, c := range []*cache.Cache[string, string]{a, b, join(t, server, redis.Options{}, cache.Options[string, string]{})} {
		wantGet(t, c, "k", "winner's")
	}
}

// Whoever holds a lease may neither fill nor release it while Redis takes no writes.
func TestNobodyWaitsForALeaseWhileRedisTakesNoWrites(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(), redis.Options{Timeout: patient.Timeout, Prefix: prefix(t)})
	c := cacheOn(t, s, cache.Options[string, string]{WaitTimeout: time.Hour})
	follows(t, s)
	put(t, server.Client(), record(t, "k"), "L\x02sixteen byte id.", time.Hour)
	if err := server.Client().ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, soon, "writes are not sent any more", func() bool {
		_ = c.Invalidate(t.Context(), "other")
		return s.Stats().BreakerOpened > 0
	})
	ctx, cancel := context.WithCancel(t.Context()) // no deadline, which would end a wait early
	defer cancel()
	defer time.AfterFunc(soon, cancel).Stop()
	if v, err := c.GetOrLoad(ctx, "k", yields[string]("own")); v != "own" || err != nil {
		t.Errorf("GetOrLoad = %q, %v", v, err)
	}
}
