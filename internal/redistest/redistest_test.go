package redistest_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/nearside-go/nearside/internal/redistest"
)

func TestStartServesTCPAndSocket(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	s := redistest.Start(t)
	t.Logf("ready after %v", time.Since(begin))
	mustSet(t, tcpClient(t, s), "k", "v")
	wantValue(t, s.Client(), "k", "v")
	if host, _, err := net.SplitHostPort(s.Addr()); err != nil || host != "127.0.0.1" {
		t.Errorf("Addr() = %q", s.Addr())
	}
	if len(s.Socket()) > 100 {
		t.Errorf("Socket() is too long: %q", s.Socket())
	}
}

func TestStartPassesArgs(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--maxmemory", "10mb", "--databases", "3")
	for name, want := range map[string]string{"maxmemory": "10485760", "databases": "3", "save": "", "appendonly": "no"} {
		got, err := s.Client().ConfigGet(t.Context(), name).Result()
		if err != nil || got[name] != want {
			t.Errorf("CONFIG GET %s = %v, %v; want %q", name, got, err, want)
		}
	}
}

func TestDebugIsAllowed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	if err := s.Client().Do(t.Context(), "debug", "set-active-expire", 0).Err(); err != nil {
		t.Error(err)
	}
}

func TestServersArePrivate(t *testing.T) {
	t.Parallel()
	a, b := redistest.Start(t), redistest.Start(t)
	mustSet(t, a.Client(), "k", "v")
	if err := b.Client().Get(t.Context(), "k").Err(); !errors.Is(err, goredis.Nil) {
		t.Errorf("the other server says %v", err)
	}
}

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c, addr, pid := tcpClient(t, s), s.Addr(), s.PID()
	mustSet(t, c, "k", "v")
	if err := s.Client().Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Kill() // again is nothing
	wantGone(t, pid)
	if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Kill: %v", err)
	}
	s.Restart()
	if s.Addr() != addr || s.PID() == pid {
		t.Errorf("restarted at %s as %d, was at %s as %d", s.Addr(), s.PID(), addr, pid)
	}
	if n, err := s.Client().DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("DBSIZE after Restart = %d, %v", n, err)
	}
	mustSet(t, c, "k", "w")
	wantValue(t, s.Client(), "k", "w")
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := tcpClient(t, s)
	mustSet(t, c, "k", "v")
	for range 5 {
		s.Pause()
		if err := pingWithin(t, c, brief); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
			t.Fatalf("PING of a paused server: %v", err)
		}
		s.Resume()
		wantValue(t, c, "k", "v")
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestPausedServerCanBeKilled(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Pause()
	s.Kill()
	wantGone(t, s.PID())
	s.Restart()
	if err := pingWithin(t, tcpClient(t, s), soon); err != nil {
		t.Error(err)
	}
}

func TestCommandsCountsCalls(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := tcpClient(t, s)
	mustSet(t, c, "k", "v")
	s.ResetCommands()
	for range 3 {
		wantValue(t, c, "k", "v")
	}
	if err := c.Eval(t.Context(), "return redis.call('GET', KEYS[1])", []string{"k"}).Err(); err != nil {
		t.Fatal(err)
	}
	calls := s.Commands()
	wantCalls(t, calls, "get", 4)
	wantCalls(t, calls, "eval", 1)
	wantCalls(t, calls, "set", 0)
	wantCalls(t, calls, "config|resetstat", 1)
	s.ResetCommands()
	wantCalls(t, s.Commands(), "get", 0)
}

func TestReplicaFollows(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	mustSet(t, primary.Client(), "before", "1")
	replica := redistest.StartReplica(t, primary)
	wantValue(t, replica.Client(), "before", "1")
	mustSet(t, primary.Client(), "after", "2")
	redistest.Eventually(t, soon, "the write arrives", func() bool {
		return replica.Client().Get(t.Context(), "after").Val() == "2"
	})
	if err := replica.Client().Set(t.Context(), "k", "v", 0).Err(); err == nil {
		t.Error("the replica takes writes")
	}
}

func TestLoadAnswersLoading(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := tcpClient(t, s)
	mustSet(t, c, "k", "v")
	end := s.Load(t, 10_000)
	fresh := tcpClient(t, s) // and a new connection gets the same
	for range 20 {
		for _, c := range []*goredis.Client{c, fresh} {
			if err := c.Get(t.Context(), "k").Err(); err == nil || !strings.HasPrefix(err.Error(), "LOADING") {
				t.Fatalf("GET of a loading server: %v", err)
			}
		}
	}
	begin := time.Now()
	end()
	end()
	if took := time.Since(begin); took > soon {
		t.Errorf("end took %v", took)
	}
	wantValue(t, c, "k", "v")
}

func TestLoadEndsByItself(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	defer s.Load(t, 50)()
	redistest.Eventually(t, soon, "the load ends", func() bool {
		return s.Client().Ping(t.Context()).Err() == nil
	})
}

func TestLoadingServerCanBeKilled(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	end := s.Load(t, 10_000)
	s.Kill()
	end()
	s.Restart()
	if n, err := s.Client().DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("DBSIZE after Restart = %d, %v", n, err)
	}
}
