package redistest_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/internal/redistest"
)

// verdict is a test that only records how it ended.
type verdict struct {
	testing.TB // the real test: directories, cleanups
	word, text string
}

func (v *verdict) Helper() {}

func (v *verdict) end(word, text string) {
	v.word, v.text = word, text
	runtime.Goexit()
}

func (v *verdict) Skip(args ...any)                  { v.end("skip", fmt.Sprint(args...)) }
func (v *verdict) Fatal(args ...any)                 { v.end("fatal", fmt.Sprint(args...)) }
func (v *verdict) Fatalf(format string, args ...any) { v.end("fatal", fmt.Sprintf(format, args...)) }

// wantVerdict runs body as a test of its own and compares its end, and a part of its last words.
func wantVerdict(t *testing.T, word, part string, body func(testing.TB)) {
	t.Helper()
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		body(v)
	}()
	<-done
	if v.word != word || !strings.Contains(v.text, part) {
		t.Errorf("ended with %q, %q; want %q, %q", v.word, v.text, word, part)
	}
}

func TestEventually(t *testing.T) {
	t.Parallel()
	calls := 0
	third := func() bool { calls++; return calls == 3 }
	wantVerdict(t, "", "", func(t testing.TB) { redistest.Eventually(t, soon, "", third) })
	wantVerdict(t, "", "", func(t testing.TB) { redistest.Eventually(t, 0, "", func() bool { return true }) })
	wantVerdict(t, "fatal", "the sun rises", func(t testing.TB) {
		redistest.Eventually(t, brief, "the sun rises", func() bool { return false })
	})
}

func TestWithoutRedisOnPath(t *testing.T) {
	redistest.Start(t) // skips where there is none
	if !redistest.Available() {
		t.Error("Available() = false after a Start")
	}
	t.Setenv("PATH", t.TempDir())
	if redistest.Available() {
		t.Error("Available() = true with an empty PATH")
	}
	start := func(t testing.TB) { redistest.Start(t) }
	t.Setenv("CI", "")
	wantVerdict(t, "skip", "no redis-server", start)
	t.Setenv("CI", "true")
	wantVerdict(t, "fatal", "no redis-server", start)
}

func TestStartTellsWhatTheServerSaid(t *testing.T) {
	redistest.Require(t)
	t.Parallel()
	wantVerdict(t, "fatal", "no-such-option", func(t testing.TB) { redistest.Start(t, "--no-such-option", "1") })
}

func TestStartOnPortThatStaysTaken(t *testing.T) {
	redistest.Require(t)
	t.Parallel()
	_, port, err := net.SplitHostPort(redistest.Blackhole(t))
	if err != nil {
		t.Fatal(err)
	}
	wantVerdict(t, "fatal", "port taken", func(t testing.TB) { redistest.Start(t, "--port", port) })
}

func TestRestartWaitsForItsPort(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Kill()
	l, err := net.Listen("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(brief, func() { _ = l.Close() })
	s.Restart()
	if err := pingWithin(t, tcpClient(t, s), soon); err != nil {
		t.Error(err)
	}
}

func TestRestartOfRunningServerFails(t *testing.T) {
	redistest.Require(t)
	t.Parallel()
	wantVerdict(t, "fatal", "is running", func(t testing.TB) { redistest.Start(t).Restart() })
}
