package redis_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// mutatorURL and mutatorPrefix tell a process of this test binary that it is the one to
// be killed in a Mutate.
const (
	mutatorURL    = "NEARSIDE_MUTATOR_URL"
	mutatorPrefix = "NEARSIDE_MUTATOR_PREFIX"
)

// How long the tombstones of a mutator stand: its MutateTimeout and its budget.
const (
	mutatorTimeout = 2 * time.Second
	mutatorBudget  = 2 * time.Second
)

// mutateForever says when it writes, writes when it is told to, says so, and never gets
// to the invalidation.
func mutateForever(url string) error {
	s, err := redis.Open(url, redis.Options{Timeout: mutatorBudget, Prefix: os.Getenv(mutatorPrefix)})
	if err != nil {
		return err
	}
	c, err := cache.New(cache.Options[string, string]{Name: "c", TTL: time.Hour, Remote: s, MutateTimeout: mutatorTimeout})
	if err != nil {
		return err
	}
	in := bufio.NewReader(os.Stdin)
	return c.Mutate(context.Background(), []string{"k", "l"}, func(context.Context) error {
		fmt.Println("writing")
		_, err := in.ReadString('\n')
		fmt.Println("written")
		_, restErr := in.ReadString('\n')
		return errors.Join(err, restErr, errors.New("nobody killed this process"))
	})
}

// mutator is a process in a Mutate of "k" and "l".
type mutator struct {
	began time.Time
	in    io.Writer
	out   *bufio.Reader
	kill  func()
}

func startMutator(t *testing.T, server *redistest.Server) *mutator {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), mutatorURL+"="+server.URL(), mutatorPrefix+"="+prefix(t))
	cmd.Stderr = os.Stderr
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	m := &mutator{in: stdin, out: bufio.NewReader(stdout)}
	m.kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	t.Cleanup(m.kill)
	m.wantSaid(t, "writing\n")
	m.began = time.Now()
	return m
}

func (m *mutator) wantSaid(t *testing.T, want string) {
	t.Helper()
	if line, err := m.out.ReadString('\n'); line != want {
		t.Fatalf("the process said %q, %v; want %q", line, err, want)
	}
}

// source is what the loaders read, and the mutator writes.
type source struct {
	mu    sync.Mutex
	value string
}

func (s *source) load(context.Context, string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value, nil
}

func (s *source) write(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = value
}

func TestAProcessThatIsKilledInAMutateLeavesNoOldValue(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, commits := range map[string]bool{"before it has written": false, "after it has written": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := &source{value: "old"}
			a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
			b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
			hold(t, "k", "old", a, b)
			hold(t, "other", "v", a, b)
			late := newBlocked(t, "old", nil) // of "l", and begins before the tombstones
			slow := make(chan error, 1)
			go func() {
				_, err := b.GetOrLoad(t.Context(), "l", late.load)
				slow <- err
			}()
			<-late.started

			m := startMutator(t, server)
			missesSoon(t, a, "k")
			missesSoon(t, b, "k")
			want := "old"
			if commits {
				want = "new"
				src.write(want)
				if _, err := io.WriteString(m.in, "\n"); err != nil {
					t.Fatal(err)
				}
				m.wantSaid(t, "written\n")
			}
			m.kill()
			close(late.let)
			if err := <-slow; err != nil {
				t.Error(err)
			}
			fleet := []*instance{a, b, enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})}
			wantUnfilled(t, server, fleet, src, want, m)
			for _, key := range []string{"k", "l"} {
				for _, i := range fleet {
					wantGet(t, i.Cache, key, want)
				}
			}
			wantGet(t, b.Cache, "other", "v")
		})
	}
}

// wantUnfilled reads the keys of a dead mutator until its tombstones have lapsed. Every
// read is a load, and none is stored before.
func wantUnfilled(t *testing.T, server *redistest.Server, fleet []*instance, src *source, want string, m *mutator) {
	t.Helper()
	reads := 0
	stand := func() (stand int) {
		for _, key := range []string{"k", "l"} {
			if server.Client().GetRange(t.Context(), record(t, key), 0, 0).Val() == "T" {
				stand++
			}
		}
		return stand
	}
	for stand() == 2 {
		for _, key := range []string{"k", "l"} {
			for _, i := range fleet {
				if v, err := i.GetOrLoad(t.Context(), key, src.load); err != nil || v != want {
					t.Fatalf("GetOrLoad(%s) = %q, %v; want %q", key, v, err, want)
				}
			}
		}
		reads++
		<-time.After(5 * time.Millisecond)
	}
	lapsed := time.Since(m.began)
	lost, _ := stalls.Since(m.began)
	const stands = mutatorTimeout + mutatorBudget
	if reads < 3 || lapsed-lost > stands+slack || lapsed+lost < stands-slack {
		t.Errorf("the tombstones stood for %v, through %d reads; want %v", lapsed, reads, stands)
	}
	for _, key := range []string{"k", "l"} {
		redistest.Eventually(t, soon, "the next load is stored", func() bool {
			v, err := fleet[0].GetOrLoad(t.Context(), key, src.load)
			return err == nil && v == want && server.Client().GetRange(t.Context(), record(t, key), 0, 0).Val() == "V"
		})
	}
}

// The tombstones of Mutates that run side by side stand until the last one is over.
func TestMutatesOfTwoInstancesShareATombstone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	b := enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})
	hold(t, "k", "old", a, b)
	unstored := func(when, want string) {
		t.Helper()
		for _, i := range []*instance{a, b, enter(t, server.Addr(), redis.Options{}, cache.Options[string, string]{})} {
			for range 2 {
				wantLoad(t, i.Cache, "k", want)
			}
		}
		if got := server.Client().GetRange(t.Context(), record(t, "k"), 0, 0).Val(); got != "T" {
			t.Errorf("%s: the record begins with %q, want a tombstone", when, got)
		}
	}
	err := a.Mutate(t.Context(), []string{"k"}, func(context.Context) error {
		redistest.Eventually(t, soon, "the other instance is told", func() bool { return b.Stats().InvalidationsReceived > 0 })
		unstored("in one", "old")
		return b.Mutate(t.Context(), []string{"k"}, func(context.Context) error {
			unstored("in both", "old")
			return nil
		})
	})
	if err != nil {
		t.Error("Mutate:", err)
	}
	upToDate(t, server, a, b)
	wantMiss(t, b.Cache, "k")
	wantLoad(t, b.Cache, "k", "new")
	wantGet(t, a.Cache, "k", "new")
	// And if the first one to begin is the first to end.
	ended := make(chan error, 1)
	err = b.Mutate(t.Context(), []string{"k"}, func(ctx context.Context) error {
		begun, end := make(chan struct{}), make(chan struct{})
		go func() {
			ended <- a.Mutate(t.Context(), []string{"k"}, func(context.Context) error {
				close(begun)
				<-end
				return nil
			})
		}()
		<-begun
		close(end)
		if err := <-ended; err != nil {
			return err
		}
		unstored("in the one that is left", "new")
		return nil
	})
	if err != nil {
		t.Error("Mutate:", err)
	}
	wantLoad(t, a.Cache, "k", "newest")
	upToDate(t, server, a, b)
	wantGet(t, b.Cache, "k", "newest")
}
