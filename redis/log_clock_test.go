package redis_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nearside-go/nearside/cache"
	"github.com/nearside-go/nearside/internal/redistest"
	"github.com/nearside-go/nearside/redis"
)

// pastURL and pastPrefix tell a process of this test binary that it is an instance of
// the year 2000.
const (
	pastURL    = "NEARSIDE_PAST_URL"
	pastPrefix = "NEARSIDE_PAST_PREFIX"
)

// TestInstanceOfThePast is a process, and no test of its own: an instance in a bubble,
// whose wall clock says 2000-01-01, on a real Redis. It does what it reads line by line.
func TestInstanceOfThePast(t *testing.T) {
	if os.Getenv(pastURL) == "" {
		t.Skip("this is run by TestInstancesNeedNoCommonClock")
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := redis.Open(os.Getenv(pastURL), redis.Options{Timeout: patient.Timeout, Prefix: os.Getenv(pastPrefix)})
		if err != nil {
			t.Fatal(err)
		}
		c, err := cache.New(cache.Options[string, string]{Name: "c", TTL: time.Hour, Jitter: exactTTL, Remote: s, Tags: tagsOf})
		if err != nil {
			t.Fatal(err)
		}
		for !c.Stats().LogFollowed { // Eventually would wait for a clock that stands still
			runtime.Gosched()
		}
		fmt.Println(time.Now().Year())
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			fmt.Println(obey(c, strings.Split(in.Text(), " ")))
		}
		if err := errors.Join(in.Err(), c.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
}

func obey(c *cache.Cache[string, string], command []string) string {
	ctx := context.Background()
	var v string
	var err error
	switch command[0] {
	case "load":
		v, err = c.GetOrLoad(ctx, command[1], yields[string](command[2]))
		for c.Stats().Background > 0 { // as idle, with a clock that stands still
			runtime.Gosched()
		}
	case "get":
		v, err = c.Get(ctx, command[1])
	case "invalidate":
		err = c.Invalidate(ctx, command[1:]...)
	case "tags":
		err = c.InvalidateTags(ctx, command[1:]...)
	case "all":
		err = c.InvalidateAll(ctx)
	}
	if err != nil {
		return err.Error()
	}
	return "ok " + v
}

// past is the instance of TestInstanceOfThePast.
type past struct {
	in  io.Writer
	out *bufio.Scanner
}

func startPast(t *testing.T, server *redistest.Server) *past {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestInstanceOfThePast$")
	cmd.Env = append(os.Environ(), pastURL+"="+server.URL(), pastPrefix+"="+prefix(t))
	cmd.Stderr = os.Stderr
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error("the instance of the past:", err)
		}
	})
	p := &past{stdin, bufio.NewScanner(stdout)}
	if year := p.said(); year != "2000" {
		t.Fatalf("the instance of the past says that it is %q", year)
	}
	return p
}

func (p *past) said() string {
	p.out.Scan()
	return p.out.Text()
}

func (p *past) do(command ...string) string {
	fmt.Fprintln(p.in, strings.Join(command, " "))
	return p.said()
}

// An instance's wall clock is decades behind. What either declares wrong is wrong for
// both, and nothing else.
func TestInstancesNeedNoCommonClock(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := tagged(t, server)
	p := startPast(t, server)
	has := func(what, key, want string) {
		t.Helper()
		wantGet(t, a.Cache, key, want)
		if got := p.do("get", key); got != "ok "+want {
			t.Errorf("%s: the past says %q of %s, want %q", what, got, key, want)
		}
	}
	lacks := func(what string, keys ...string) {
		t.Helper()
		upToDate(t, server, a)
		for _, key := range keys {
			missesSoon(t, a, key)
			redistest.Eventually(t, soon, what+": the past misses "+key, func() bool { return p.do("get", key) == cache.ErrMiss.Error() })
			wantMiss(t, a.Cache, key)
			wantMiss(t, tagged(t, server).Cache, key)
		}
	}
	ways := map[string]struct{ now, then func() }{
		"a key": {func() { invalidate(t, a, "mine", "its") }, func() { wantOK(t, p.do("invalidate", "mine", "its")) }},
		"a tag": {func() { invalidateTags(t, a, "t") }, func() { wantOK(t, p.do("tags", "t")) }},
		"all":   {func() { invalidateAll(t, a) }, func() { wantOK(t, p.do("all")) }},
	}
	for name, way := range ways {
		for who, declare := range map[string]func(){"now": way.now, "then": way.then} {
			what := name + ", by " + who
			wantLoad(t, a.Cache, "mine", "v|t")
			wantOK(t, p.do("load", "its", "v|t"))
			_, _ = a.GetOrLoad(t.Context(), "other", yields[string]("v|u"))
			idle(t, a)
			has(what, "mine", "v|t")
			has(what, "its", "v|t")
			has(what, "other", "v|u")
			hasRecords(t, server, a, "t", "u")
			declare()
			lacks(what, "mine", "its")
			if name != "all" {
				has(what, "other", "v|u")
				wantGet(t, tagged(t, server).Cache, "other", "v|u")
			}
		}
	}
}

func wantOK(t *testing.T, said string) {
	t.Helper()
	if !strings.HasPrefix(said, "ok ") {
		t.Errorf("the past says %q", said)
	}
}
